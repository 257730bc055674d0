"""All settings are in setup.cfg; this makes the README's addresses absolute, as a package index needs them."""

import configparser
import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
RELATIVE = r"\[[^\]]*\]\()(?!https?://)"


def absolute(text: str, address: str) -> str:
    """The README with its relative links below the address of the repository; as it is if there is no address."""
    if not address:
        return text
    text = re.sub(rf"(!{RELATIVE}", rf"\g<1>{address}/raw/main/", text)
    return re.sub(rf"((?<!!){RELATIVE}", rf"\g<1>{address}/blob/main/", text)


if __name__ == "__main__":
    settings = configparser.ConfigParser()
    settings.read(HERE / "setup.cfg")
    address = settings.get("metadata", "url", fallback="")
    setup(long_description=absolute((HERE / "README.md").read_text(encoding="utf-8"), address))
