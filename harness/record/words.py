"""Words that every room prints alike."""


def several(count: int, noun: str) -> str:
    """Return, for instance, "1 run" or "3 runs"; "processes" for a noun that ends so."""
    plural = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{plural}"
