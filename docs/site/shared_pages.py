"""A hook of MkDocs: pages that stand beside the code, made from its types, are in the site too."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]

BESIDE_THE_CODE = {
    "reference/measures.md": "harness/measure/MEASURES.md",
    "reference/constants.md": "harness/model/CONSTANTS.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in BESIDE_THE_CODE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files
