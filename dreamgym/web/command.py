"""The command ``web``."""

from __future__ import annotations

from dreamgym.config import WebConfig
from dreamgym.errors import OutputFolderError
from dreamgym.files import make_folder, remove_leftovers, write_bytes, write_files
from dreamgym.web.build import OURS, page_files, single_page
from dreamgym.world_model import WorldModel

__all__ = ["run"]


def run(config: WebConfig) -> None:
    """Write the page.

    Raises:
        BundleError: no bundle there, or a damaged one.
        OutputFolderError: the folder holds something else, or the file is another one or a folder.
    """
    files = page_files(WorldModel.load(config.world_model, world=config.world))
    if config.out.suffix.lower() not in (".html", ".htm"):
        write_files(config.out, files)
        size = sum(map(len, files.values()))
        print(f"{config.out / 'index.html'}: {size / 1e6:.1f} MB with the files beside it; it needs a web server")
        return
    if config.out.is_dir():
        raise OutputFolderError(
            f"expected a file to write the page to, got the folder {config.out}; choose another name"
        )
    if config.out.exists() and not (config.out.is_file() and OURS in config.out.read_bytes()):
        raise OutputFolderError(f"{config.out} is no page of dreamgym web; choose another name")
    make_folder(config.out.parent)
    page = single_page(files)
    remove_leftovers(config.out)
    write_bytes(config.out, page)
    print(f"{config.out}: {len(page) / 1e6:.1f} MB; open it in a browser")
