"""PDF files for tests: pages of lines, pages that are pictures of lines, empty pages."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Scan:
    """A page of these lines that is a picture."""

    lines: Sequence[str]


def pdf(path: Path, *pages: Sequence[str] | Scan) -> None:
    """A PDF of these pages."""
    objects = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]

    def add(made: bytes) -> int:
        objects.append(made)
        return len(objects)

    leaves = []
    for page in pages:
        if isinstance(page, Scan):
            shown = b"q 612 0 0 792 0 0 cm /I Do Q"
            named = b"/XObject << /I %d 0 R >>" % add(_picture(path, page.lines))
        else:
            lines = (line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in page)
            said = " ".join(f"({line}) Tj T*" for line in lines)
            shown = f"BT /F1 12 Tf 72 720 Td 14 TL {said} ET".encode("cp1252")
            named = b"/Font << /F1 3 0 R >>"
        content = add(_stream(b"", shown))
        leaves.append(
            add(b"<< /Type /Page /Parent 2 0 R /Contents %d 0 R /Resources << %b >> >>" % (content, named))
        )
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    kids = b" ".join(b"%d 0 R" % number for number in leaves)
    objects[1] = b"<< /Type /Pages /Kids [%b] /Count %d /MediaBox [0 0 612 792] >>" % (kids, len(leaves))
    body, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, one)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    body += b"".join(b"%010d 00000 n \n" % place for place in places)
    body += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    path.write_bytes(body)


def _stream(about: bytes, content: bytes) -> bytes:
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (about, len(content), content)


def _picture(path: Path, lines: Sequence[str]) -> bytes:
    """Lines as they look on a page; what a PNG holds, a PDF can hold as it is."""
    import kreuzberg

    pdf(path, lines)
    image = kreuzberg.render_pdf_page(str(path), 0, dpi=150)
    parts: dict[bytes, bytes] = {}
    at = 8
    while at < len(image):
        (length,) = struct.unpack(">I", image[at : at + 4])
        name = image[at + 4 : at + 8]
        parts[name] = parts.get(name, b"") + image[at + 8 : at + 8 + length]
        at += 12 + length
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    about = (
        b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB /BitsPerComponent 8 "
        b"/Filter /FlateDecode /DecodeParms << /Predictor 15 /Colors 3 /BitsPerComponent 8 /Columns %d >>"
    )
    return _stream(about % (width, height, width), parts[b"IDAT"])
