"""Names of files in forms (multipart/form-data), escaped as the HTML standard says: browsers and curl do so."""

import re

ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n"}


def escaped(name: str) -> bytes:
    """A name as it stands between quotes; control characters that the standard leaves alone are escaped, too."""
    return re.sub('["\x00-\x1f\x7f]', lambda found: f"%{ord(found[0]):02X}", name).encode(errors="replace")


def unescaped(sent: str) -> str:
    for code, character in ESCAPED.items():
        sent = sent.replace(code, character)
    return sent
