"""Batches whose lanes are full: whole sequences one after the other, in one batch or over many.

Owns two ways of sampling beside that of crops. Both are functions of the seed and a batch's number,
so that a fit that goes on needs to remember none of them.
"""

from bisect import bisect_right

import numpy as np

from training.augmentation import Vary, choose_variation, unchanged
from training.config import Config
from training.data.sequences import Sequence
from training.sampling import Batch, CropSampler, Piece, Sampler, lay_out
from training.trained import Channel

# Sequences that are tried for the room that is left in a batch, before it is called full.
_TRIES = 8


class CarryingSampler:
    """Truncated back-propagation: every lane goes through all sequences, chunk by chunk.

    A lane holds the sequences end to end, in an order of its own that is drawn anew for each pass
    over them, and a batch is the next chunk of all lanes. No step is padding, whatever the lengths;
    the state before a chunk is that after the chunk before, or zero where a sequence begins.
    """

    carries = True

    def __init__(
        self,
        sequences: tuple[Sequence, ...],
        lanes: int,
        chunk_steps: int,
        seed: int,
        vary: Vary = unchanged,
    ) -> None:
        self._sequences = sequences
        self._vary = vary
        self._lanes = lanes
        self._chunk_steps = chunk_steps
        self._seed = seed
        self._pass_steps = sum(map(len, sequences))

    def batch(self, number: int) -> Batch:
        """The lanes' chunk `number`."""
        start = number * self._chunk_steps
        return lay_out([self._pieces(lane, start) for lane in range(self._lanes)])

    def _pieces(self, lane: int, start: int) -> list[Piece]:
        """What a lane holds from step `start` on."""
        pieces, left = [], self._chunk_steps
        while left:
            number, offset = divmod(start, self._pass_steps)
            place, sequence, at = self._find(lane, number, offset)
            part = sequence.cut(at, min(at + left, len(sequence)))
            # Alike for all chunks of a sequence, and anew for each pass.
            part = self._vary(part, (lane, number, place))
            pieces.append(Piece(part, begins=at == 0))
            start, left = start + len(part), left - len(part)
        return pieces

    def _find(self, lane: int, number: int, offset: int) -> tuple[int, Sequence, int]:
        """What is at a step of a lane's pass: which sequence in it, and which step of that."""
        generator = np.random.default_rng((self._seed, lane, number))
        order = generator.permutation(len(self._sequences))
        ends = np.cumsum([len(self._sequences[index]) for index in order])
        place = bisect_right(ends, offset)
        sequence = self._sequences[order[place]]
        return place, sequence, offset - int(ends[place]) + len(sequence)


class WholeSampler:
    """Back-propagation through whole sequences.

    A batch is as long as the longest sequence in it; shorter ones stand one after the other in a
    lane, as long as there is room, so that little of it is padding.
    """

    carries = False

    def __init__(
        self, sequences: tuple[Sequence, ...], lanes: int, seed: int, vary: Vary = unchanged
    ) -> None:
        self._sequences = sequences
        self._vary = vary
        self._lanes = lanes
        self._seed = seed

    def batch(self, number: int) -> Batch:
        """Batch `number`."""
        generator = np.random.default_rng((self._seed, number))
        drawn = generator.integers(len(self._sequences), size=self._lanes)
        lanes = [[self._sequences[index]] for index in drawn]
        room = np.array([len(lane[0]) for lane in lanes])
        room = room.max() - room
        tries = _TRIES
        while tries and room.max():
            extra = self._sequences[int(generator.integers(len(self._sequences)))]
            lane = int(room.argmax())
            if len(extra) > room[lane]:
                tries -= 1
                continue
            lanes[lane].append(extra)
            room[lane] -= len(extra)
        return lay_out(
            [
                [
                    Piece(self._vary(each, (number, lane, place)), begins=True)
                    for place, each in enumerate(pieces)
                ]
                for lane, pieces in enumerate(lanes)
            ]
        )


def choose_sampler(
    config: Config, sequences: tuple[Sequence, ...], channels: tuple[Channel, ...]
) -> Sampler:
    """The sampler that a configuration asks for.

    Raises:
        ConfigError: the channels can't be varied as configured.
    """
    settings, vary = config.training, choose_variation(config, channels)
    if settings.sampling == "whole":
        return WholeSampler(sequences, settings.lanes, config.seed, vary)
    kind = CarryingSampler if settings.sampling == "carried" else CropSampler
    return kind(sequences, settings.lanes, settings.crop_steps, config.seed, vary)
