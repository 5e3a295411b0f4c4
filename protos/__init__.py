"""The contracts: the wire, the artefact's manifest, and what the artefact's digest covers."""
