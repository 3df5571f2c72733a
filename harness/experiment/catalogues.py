"""Reading a catalogue of instance types of one's own."""

from __future__ import annotations

from pathlib import Path

from harness.autoscaling.provisioning.catalogue import Catalogue, parse_catalogue
from harness.model.loading.text_file import read_text


def read_catalogue(path: Path) -> Catalogue:
    """In the form of the shipped one. Raises UserError with its line."""
    return parse_catalogue(read_text(path), path.stem, str(path))
