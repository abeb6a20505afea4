"""Licence names, and which of them let a swapped face be sold. A table for a filter, no legal advice."""

from __future__ import annotations

COMMERCIAL = {
    "CC0-1.0": True,
    "CC-PDM-1.0": True,
    "PUBLIC-DOMAIN": True,
    "CC-BY-2.0": True,
    "CC-BY-2.5": True,
    "CC-BY-3.0": True,
    "CC-BY-4.0": True,
    "CC-BY-SA-2.0": True,
    "CC-BY-SA-2.5": True,
    "CC-BY-SA-3.0": True,
    "CC-BY-SA-4.0": True,
    "MIT": True,
    "BSD-3-CLAUSE": True,
    "APACHE-2.0": True,
    "PEXELS": True,
    "UNSPLASH": True,
    "OWN": True,
    "CC-BY-NC-2.0": False,
    "CC-BY-NC-4.0": False,
    "CC-BY-NC-SA-2.0": False,
    "CC-BY-NC-SA-4.0": False,
    "CC-BY-ND-4.0": False,
    "CC-BY-NC-ND-4.0": False,
    "RESEARCH-ONLY": False,
}
"""Name (SPDX where there is one, upper case) -> commercial use of a changed picture is allowed. "OWN": the user holds
the rights. CC-BY-ND sells only unchanged pictures, and a swap is a change."""


def allows_commercial(licence: str) -> bool:
    """Whether the licence is known to allow commercial use of changed pictures; an unknown one does not.

    Upper and lower case, spaces and underscores do not matter. Where a picture is made of several, their licences are
    joined by " + ", and all of them must.
    """
    names = ["-".join(part.upper().replace("_", " ").split()) for part in licence.split(" + ")]
    return all(COMMERCIAL.get(name, False) for name in names)
