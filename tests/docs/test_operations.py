"""What the page on operations says by name is there."""

import importlib
import re
from pathlib import Path

from service.rpc.server import _SERVICES

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_loggers_are_those_that_there_are():
    names = re.findall(r'"logger": "([^"]+)"', PAGE)
    assert names
    for name in names:
        assert importlib.import_module(name)._log.name == name


def test_health_answers_for_the_services_that_it_says():
    section = PAGE.partition("\n## Health\n")[2].partition("\n## ")[0]
    said = set(re.findall(r"`((?:statewise|inference)\.[\w.]+)`", section))
    assert said == set(_SERVICES)
