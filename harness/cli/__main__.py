"""python -m harness.cli: podyard where the console script is not on the path."""

from harness.cli import console

console()
