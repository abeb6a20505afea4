"""What the identity network learns from: the config's `[data]`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IdentityData:
    """`[data]`. Bare numbers that are shares lie in 0..1."""

    renders: tuple[str, ...] = ()
    """Datasets of `facegraft synth`, several pictures per person."""
    real: tuple[str, ...] = ()
    """Datasets of `facegraft ingest`, with people where they are known."""
    real_share: float = 0.3
    """Of the people in a batch, where there are both."""
    morphs: int = 0
    """People made between two photographed ones each; made anew at every start, some milliseconds each."""
    morph_share: float = 0.5
    """Of the photographed people in a batch."""
    pictures_per_person: int = 4
    """In a batch; of people with fewer pictures, one comes again, changed otherwise."""
    cache: int = 20_000
    """Pictures of each dataset and split that are kept in memory."""
    val_share: float = 0.1
    """Of people, where a dataset has no split of its own."""
    composite_share: float = 0.3
    occluded_share: float = 0.15
    occluders: str = ""
    """Folder with hands, masks and things; without it all are drawn."""
    shift: float = 0.04
    """Crops miss by up to this share of their side ..."""
    scale: float = 0.07
    """... and by up to this factor ..."""
    degrees: float = 8.0
    """... and turn."""
    margin: float = 0.4
    scale_of_logits: float = 32.0
    adaptive: bool = True
    """Margins by the length of the features (AdaFace); False: CosFace's, the same for all."""
    temperature: float = 0.1
    teacher: str = ""
    """ONNX file of a recogniser; "" = the clean version."""
    answers: str = ""
    """Folder for the teacher's answers to the plain pictures, each asked about once ..."""
    views: bool = False
    """... or the teacher is asked about each crop before it is worn, moved as the network sees it, and looked into."""
    bend_px: float = 0.0
    """With `views`: faces are bent by up to this, in pixels of the crop (one deviation); bent, they are others."""
    mix_share: float = 0.0
    """With `views`: of crops that another one shines through."""
    start: str = ""
    """An exported file to go on from; "" = chance."""
    start_crops: int = 512
    """Crops that means and variances are measured on, for `start`."""

    def __post_init__(self) -> None:
        for name in ("real_share", "morph_share", "val_share", "composite_share", "occluded_share", "mix_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, found {getattr(self, name)}")
        if self.pictures_per_person < 2:
            raise ValueError(f"pictures_per_person: expected 2 or more, found {self.pictures_per_person}")
        if self.teacher and not (self.answers or self.views):
            raise ValueError("answers: expected a folder for the teacher's answers, or views; found neither")
        if self.views and not self.teacher:
            raise ValueError("views: expected a teacher to be asked about them, found none")
        if not self.views and (self.bend_px or self.mix_share):
            raise ValueError("bend_px and mix_share: expected views, found none; nobody knows whom such crops show")
