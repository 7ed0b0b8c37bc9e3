"""Functions that the graphs here call."""


def clean(rows, size: int = 3):
    return rows
