"""Draw the icon of the extension and of the module: many outlines, one clear shape.

    python Resources/Icons/draw_icon.py

Three loose outlines are the ensemble's opinions on one structure; the filled shape within
is what the student makes of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
TARGETS = (
    ROOT / "KDSegmentation.png",
    ROOT / "KDSegmentation" / "Resources" / "Icons" / "KDSegmentation.png",
)
SIZE = 128
FINE = 8  # drawn larger and reduced, for smooth edges

GROUND = (38, 50, 62, 255)
STUDENT = (88, 196, 176, 255)
TEACHERS = ((240, 196, 120, 255), (214, 226, 236, 255), (126, 170, 224, 255))


def outline(scale: float, turn: float, shift: tuple[float, float]) -> list[tuple[float, float]]:
    """A rounded bean round the middle of the icon, in fine pixels."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = scale * (1 + 0.16 * np.cos(2 * angle + turn) + 0.10 * np.sin(3 * angle - turn))
    x = 0.5 + shift[0] + radius * np.cos(angle)
    y = 0.5 + shift[1] + radius * np.sin(angle)
    return [(float(a), float(b)) for a, b in zip(x * SIZE * FINE, y * SIZE * FINE, strict=True)]


def icon() -> Image.Image:
    side = SIZE * FINE
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, side - 1, side - 1), radius=side // 6, fill=GROUND)
    pen.polygon(outline(0.20, 0.6, (0.0, 0.0)), fill=STUDENT)
    opinions = ((0.30, 0.1, (-0.03, 0.01)), (0.31, 0.7, (0.02, -0.02)), (0.30, 1.3, (0.02, 0.03)))
    for color, (scale, turn, shift) in zip(TEACHERS, opinions, strict=True):
        points = outline(scale, turn, shift)
        pen.line([*points, *points[:2]], fill=color, width=3 * FINE, joint="curve")
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for target in TARGETS:
        icon().save(target, optimize=True)
