"""How often a picture meets itself, another photo of the same person, a stranger, or a pair with an exact answer.

One named policy per method, with the share that its paper or code states. Shares are dials: `dataclasses.replace` or
`with_truth_share` make others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from facegraft.core.errors import BadInputError


@dataclass(frozen=True)
class Policy:
    """Shares of the kinds of pairs; what is left to 1 are strangers.

    Attributes:
        same_image: Identity and attribute are one picture, which is the truth as well.
        same_person: Two photos of one person; the attribute picture is the truth.
        triplets: Exact pairs of the dataset: the truth is a picture of its own.
        truth: Which truth of exact pairs: "inner", "inner_recoloured" or "head".
        similar_pose: Of the pairs of two pictures, the share whose poses are alike.
        pose_window_degrees: What alike means, for yaw and for pitch.
        same_clip: Two photos of one person are frames of one clip where there are such.
        alternate: One kind per batch, in turn, instead of mixing inside a batch.
        second_photo: Identities have another photo, which the batch holds too.
        balance: Rows are drawn more often where these are rare: "pose" (|yaw| below 15, below 45, above), "person", or
            the name of a fact.
        balance_cap: A rare row is drawn at most this many times as often as a common one.
        taken_from: Where the shares are stated.
    """

    same_image: float = 0.0
    same_person: float = 0.0
    triplets: float = 0.0
    truth: str = "inner"
    similar_pose: float = 0.0
    pose_window_degrees: float = 15.0
    same_clip: bool = False
    alternate: bool = False
    second_photo: bool = False
    balance: tuple[str, ...] = ()
    balance_cap: float = 3.0
    taken_from: str = ""

    def __post_init__(self) -> None:
        shares = (self.same_image, self.same_person, self.triplets)
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise BadInputError(f"pair policy: shares must lie in 0..1 and sum to at most 1, found {shares}")
        if not 0 <= self.similar_pose <= 1 or self.balance_cap < 1:
            found = f"similar_pose {self.similar_pose}, balance_cap {self.balance_cap}"
            raise BadInputError(f"pair policy: expected similar_pose in 0..1 and balance_cap from 1, found {found}")

    @property
    def truth_share(self) -> float:
        """Share of pairs with a right answer."""
        return self.same_image + self.same_person + self.triplets


def with_truth_share(policy: Policy, share: float) -> Policy:
    """The policy with this share of pairs that have a right answer, their kinds in the same proportion.

    Raises:
        BadInputError: The share is not in 0..1.
    """
    if not 0 <= share <= 1:
        raise BadInputError(f"truth share: expected 0 to 1, found {share}")
    old = policy.truth_share
    if old == 0:
        return dataclasses.replace(policy, same_person=share)
    kinds = {name: getattr(policy, name) * share / old for name in ("same_image", "same_person", "triplets")}
    return dataclasses.replace(policy, **kinds)


OURS = Policy(same_person=0.25, similar_pose=0.5, balance=("pose",), taken_from="ours")
"""Another photo, not the same picture, which would reward copying; rare poses up to three times as often."""
OURS_EXACT = Policy(same_person=0.15, triplets=0.35, similar_pose=0.5, balance=("pose",), taken_from="ours")
"""For datasets with exact pairs."""

POLICIES: dict[str, Policy] = {
    "ours": OURS,
    "ours_exact": OURS_EXACT,
    # Both: give the loader one person as `identities`, the other as `attributes`.
    "df": Policy(taken_from="DeepFaceLab: pictures of two people, drawn by themselves"),
    "liae": Policy(taken_from="DeepFaceLab: pictures of two people, drawn by themselves"),
    "faceshifter": Policy(same_image=0.2, taken_from="FaceShifter's paper; the unofficial code's default is 0.8"),
    "hear_net": Policy(same_image=0.5, taken_from="the unofficial code of FaceShifter's second stage"),
    "simswap": Policy(same_person=0.5, alternate=True, taken_from="SimSwap: one batch of each in turn"),
    "ghost": Policy(same_person=0.2, taken_from="GHOST's paper"),
    "rafswap": Policy(same_image=0.2, taken_from="RAFSwap's code"),
    "mobilefsgan": Policy(same_image=0.112, triplets=0.288, taken_from="MobileFSGAN's code"),
    "faceswapper": Policy(taken_from="FaceSwapper's code: every step reconstructs by itself"),
    "hyperswap": Policy(same_image=0.2, taken_from="HyperSwap's code"),
    "reliableswap": Policy(same_image=0.2, triplets=0.3, taken_from="ReliableSwap's code; the triplets' share is ours"),
    "fastswap": Policy(same_person=1.0, same_clip=True, taken_from="FastSwap's paper: two frames of one person"),
    "smoothswap": dataclasses.replace(OURS, taken_from="ours: no share is stated"),
    "megafs": dataclasses.replace(OURS, taken_from="ours: no share is stated"),
    "hires_lsd": dataclasses.replace(OURS, taken_from="ours: no share is stated"),
    "mobilefaceswap": dataclasses.replace(OURS, taken_from="ours: no share is stated"),
    "diffusion": dataclasses.replace(OURS, second_photo=True, taken_from="ours: no share is stated"),
}
"""Name of a method, or "ours" -> its policy."""
