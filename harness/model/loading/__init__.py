"""The one reader of documents: YAML and JSON into plain data, bounded, strict, and with the line of each value.

Whatever a person or a program hands in goes through here: scenarios, manifests, configurations, records, models,
settings, bodies. A document beyond its limits, a key given twice, a number over 64 bits, a tag, an anchor within
itself is an error with file and line, found before anything is built from it.
"""

from harness.model.loading.documents import Document, load_all, load_json, load_one, load_value
from harness.model.loading.limits import BY_HAND, DUMP, Limits, TooLarge
from harness.model.loading.text_file import STDIN, check_regular, read_text

__all__ = [
    "BY_HAND",
    "DUMP",
    "STDIN",
    "Document",
    "Limits",
    "TooLarge",
    "check_regular",
    "load_all",
    "load_json",
    "load_one",
    "load_value",
    "read_text",
]
