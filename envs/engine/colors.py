"""One palette for all pictures, so that worlds look like one family: RGB, 0..255."""

Color = tuple[int, int, int]

PAPER: Color = (247, 246, 242)
SAND: Color = (226, 223, 214)
STONE: Color = (196, 192, 182)
MUTED: Color = (128, 130, 137)
INK: Color = (43, 45, 51)
BLUE: Color = (62, 116, 186)
ORANGE: Color = (222, 125, 60)
GREEN: Color = (96, 158, 96)
RED: Color = (200, 76, 76)
SKY: Color = (231, 239, 245)
GRASS: Color = (139, 166, 122)
LEAF: Color = (101, 130, 88)
VIOLET: Color = (128, 104, 168)
GOLD: Color = (222, 178, 72)
WATER: Color = (128, 172, 200)
MEADOW: Color = (163, 184, 138)
NIGHT: Color = (30, 33, 40)
SLATE: Color = (58, 63, 74)
WHITE: Color = (255, 255, 255)


def mix(color: Color, other: Color, share: float) -> Color:
    """`share` 0 gives the first colour, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue
