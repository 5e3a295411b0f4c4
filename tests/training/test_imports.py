import subprocess
import sys


def test_the_hand_over_needs_no_torch() -> None:
    code = """
import sys
sys.modules["torch"] = None
import training.reference, training.reference_backward, training.trained
"""
    subprocess.run([sys.executable, "-c", code], check=True)
