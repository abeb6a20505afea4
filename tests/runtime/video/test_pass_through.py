"""What went in comes out: every stream, time, tag, turn and depth; and what cannot, is said or refused first."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from facegraft.core.errors import BadInputError, FacegraftError, OutputError
from facegraft.core.types import Frame, Patch
from facegraft.runtime.video import Progress, VideoOptions, process_video
from facegraft.runtime.video.journal import job_folder
from facegraft.runtime.video.orient import side_data
from facegraft.runtime.video.probe import probe
from tests.odd_videos import Clip, OddVideo, make_odd_videos, moving_frames, variable_times, write_clip
from tests.runtime.video.clips import Nothing, Painter, copied_packets, leftovers, psnr, run, shown_frames

TONE = (("aac", 2),)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> list[OddVideo]:
    return make_odd_videos(tmp_path_factory.mktemp("odd"), moving_frames())


def test_there_are_many_odd_clips(odd: list[OddVideo]) -> None:
    assert len(odd) >= 50
    assert len({video.path for video in odd}) == len(odd)


def test_every_odd_clip_ends_right_or_in_one_line(odd: list[OddVideo], tmp_path: Path) -> None:
    wrong = []
    for video in odd:
        out = tmp_path / f"out{video.output}"
        out.unlink(missing_ok=True)
        try:
            run(video.path, out)
        except FacegraftError as error:
            fine = video.expected == "error" and not out.exists() and "\n" not in str(error)
        else:
            fine = video.expected == "right" and _same_clip(video.path, out)
        if not fine or leftovers(tmp_path):
            wrong.append((video.path.name, video.why))
            shutil.rmtree(job_folder(out), ignore_errors=True)
    assert not wrong


def _same_clip(clip: Path, out: Path) -> bool:
    """Frames, times (to a container's tick), turn, tags and depth."""
    old, new = shown_frames(clip), shown_frames(out)
    if len(old) != len(new):
        return False
    offset = new[0].time - old[0].time
    for before, after in zip(old, new, strict=True):
        height, width = before.rgb.shape[:2]
        if abs(after.time - before.time - offset) > Fraction(1, 1000):
            return False
        if psnr(before.rgb, after.rgb[:height, :width]) < (18 if clip.suffix == ".gif" else 26):  # dithered
            return False
    first, last = old[0].frame, new[0].frame
    depth = first.format.components[0].bits if not first.format.is_rgb else 8
    return first.rotation == last.rotation and last.format.components[0].bits == depth


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_times_and_bytes_are_identical(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"clip{suffix}", moving_frames(20), Clip(audio=(("aac", 2), ("ac3", 1))))
    run(clip, tmp_path / f"out{suffix}", Painter())
    before, after = copied_packets(clip), copied_packets(tmp_path / f"out{suffix}")
    assert len(before) == 2
    assert all(len(packets) > 10 for packets in before.values())
    assert before == after


@pytest.mark.parametrize("audio_start_s", [0.0, 0.123, 1.5])
@pytest.mark.parametrize("start", [0, 1000, 70001])
def test_late_starts_stay_to_the_tick(tmp_path: Path, audio_start_s: float, start: int) -> None:
    settings = Clip(audio=TONE, audio_start_s=audio_start_s, times=variable_times(12, start))
    clip = write_clip(tmp_path / "clip.mkv", moving_frames(), settings)
    run(clip, tmp_path / "one.mp4")  # Matroska's milliseconds fit into MP4, so from here on nothing may move
    run(tmp_path / "one.mp4", tmp_path / "two.mp4")
    times = [
        [shown.time for shown in shown_frames(path)] for path in (clip, tmp_path / "one.mp4", tmp_path / "two.mp4")
    ]
    assert times[0] == times[1] == times[2]
    assert copied_packets(tmp_path / "one.mp4") == copied_packets(tmp_path / "two.mp4")


@pytest.mark.parametrize("time_base", [Fraction(1, 12800), Fraction(1, 90000), Fraction(1, 15360)])
def test_a_variable_rate_is_not_touched(tmp_path: Path, time_base: Fraction) -> None:
    times = variable_times(40)
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(40), Clip(times=times, time_base=time_base))
    edit = Painter()
    run(clip, tmp_path / "out.mp4", edit, segment_s=0.2)
    assert [shown.time for shown in shown_frames(tmp_path / "out.mp4")] == [pts * time_base for pts in times]
    assert edit.times == [float(pts * time_base) for pts in times]


def test_b_frames_arrive_in_order_with_rising_decoding_times(tmp_path: Path) -> None:
    options = {"preset": "fast", "bf": "3", "b_strategy": "0"}
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(30), Clip(options=options, times=variable_times(30)))
    run(clip, tmp_path / "out.mp4", Painter(), segment_s=0.25)
    with av.open(str(tmp_path / "out.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    decoding = [packet.dts for packet in packets]
    assert all(packet.dts <= packet.pts for packet in packets)
    assert decoding == sorted(set(decoding))
    assert any(packet.dts < packet.pts for packet in packets)  # the encoder did reorder
    assert sum(packet.is_keyframe for packet in packets) >= 4  # one for each segment


class _Corner:
    """Marks the upright top left corner, and checks that it is the red one."""

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        red, green, blue = frame[8, 8].astype(int)
        assert red > green + 60
        assert red > blue + 60
        assert frame.flags.c_contiguous
        return [Patch(left=4, top=2, delta=np.full((20, 28, 3), (-180, 120, -20), np.float32))]

    state = Nothing.state
    restore = Nothing.restore


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    "matrix",
    [
        (a, b, 0, c, d, 0, 0, 0, 1 << 30)
        for one in (-65536, 65536)
        for two in (-65536, 65536)
        for a, b, c, d in ((one, 0, 0, two), (0, one, two, 0))
    ],
)
def test_all_eight_orientations(tmp_path: Path, matrix: tuple[int, ...], suffix: str) -> None:
    upright = moving_frames(3)
    # The inverse of the matrix, in its own words: coded (x, y) is shown at (a x + c y, b x + d y).
    a, b, c, d = (np.sign(matrix[at]) for at in (0, 1, 3, 4))
    coded = []
    for frame in upright:
        turned = frame[:: -1 if b + d < 0 else 1, :: -1 if a + c < 0 else 1]
        coded.append(np.ascontiguousarray(turned if a else turned.transpose(1, 0, 2)))
    clip = write_clip(tmp_path / f"clip{suffix}", coded, Clip(matrix=matrix))
    out = tmp_path / f"out{suffix}"
    run(clip, out, _Corner())
    old, new = shown_frames(clip), shown_frames(out)
    assert side_data(old[0].frame).get("DISPLAYMATRIX") == side_data(new[0].frame).get("DISPLAYMATRIX")
    for frame, shown in zip(upright, new, strict=True):
        back = shown.rgb if a else shown.rgb.transpose(1, 0, 2)
        back = back[:: -1 if b + d < 0 else 1, :: -1 if a + c < 0 else 1]
        assert psnr(back[40:], frame[40:]) > 26
        assert back[8, 16].astype(int) == pytest.approx([40, 160, 20], abs=25)


@pytest.mark.parametrize(
    ("suffix", "codec", "depth"),
    [(".mp4", "h264", 8), (".mp4", "hevc", 10), (".mkv", "hevc", 12), (".webm", "vp9", 8), (".mp4", "av1", 10)],
)
def test_colour_tags_depth_and_pixel_shape(tmp_path: Path, suffix: str, codec: str, depth: int) -> None:
    name = "yuv420p" if depth == 8 else f"yuv420p{depth}le"
    settings = Clip(codec="libx265", pixel_format=name, colour=(9, 16, 9, 1), sample_aspect=Fraction(4, 3))
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(4), settings)
    report = run(clip, tmp_path / f"out{suffix}", codec=codec)
    source = probe(tmp_path / f"out{suffix}")
    assert report.codec == codec
    assert source.pixel_format == name
    tags = source.colour
    assert (tags.primaries, tags.transfer, tags.matrix, tags.range) == (9, 16, 9, 1)
    assert source.sample_aspect == Fraction(4, 3) or any("as wide as high" in note for note in report.notes)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "hevc"), (".mkv", "h264"), (".mp4", "av1")])
def test_hdr_light_levels_are_kept(tmp_path: Path, suffix: str, codec: str) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    params = f"log-level=none:master-display={display}:max-cll=1000,400"
    settings = Clip(codec="libx265", pixel_format="yuv420p10le", colour=(9, 16, 9, 1), options={"x265-params": params})
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(4), settings)
    run(clip, tmp_path / f"out{suffix}", codec=codec)
    before, after = probe(clip).hdr, probe(tmp_path / f"out{suffix}").hdr
    assert before is not None
    assert before.light_levels == (1000, 400)
    assert after is not None
    assert after.light_levels == before.light_levels
    assert after.primaries_xy == pytest.approx(before.primaries_xy, abs=2)
    assert after.luminance == pytest.approx(before.luminance, rel=0.02)


def test_full_range_stays_full_range(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", moving_frames(4), Clip(colour=(1, 1, 1, 2)))
    run(clip, tmp_path / "out.mkv")
    assert probe(tmp_path / "out.mkv").colour.range == 2
    old, new = shown_frames(clip), shown_frames(tmp_path / "out.mkv")
    luma = [np.asarray(shown[0].frame.to_ndarray(format="gray"), int) for shown in (old, new)]
    assert abs(luma[0].mean() - luma[1].mean()) < 1


def test_subtitles_chapters_attachment_and_titles(tmp_path: Path) -> None:
    settings = Clip(
        audio=TONE,
        subtitles=((0.1, 0.2, "one"), (0.25, 0.3, "zwei")),
        chapters=((0.0, 0.2, "Start"), (0.2, 0.5, "Ende")),
        attachment=b"a note",
        metadata={"title": "A clip", "MY_TAG": "mine"},
    )
    clip = write_clip(tmp_path / "clip.mkv", moving_frames(), settings)
    out = tmp_path / "out.mkv"
    process_video(
        clip, out, Nothing(), VideoOptions(), job_key="test", container_metadata=lambda: {"comment": "edited"}
    )
    assert copied_packets(out) == copied_packets(clip)
    with av.open(str(out)) as new, av.open(str(clip)) as old:
        assert [stream.type for stream in new.streams] == [stream.type for stream in old.streams]
        strip = [(c["start"], c["end"], c["metadata"]) for c in old.chapters()]
        assert [(c["start"], c["end"], c["metadata"]) for c in new.chapters()] == strip
        assert strip[1][2]["title"] == "Ende"
        tags = {key.lower(): value for key, value in new.metadata.items()}
        assert tags["title"] == "A clip"
        assert tags["my_tag"] == "mine"
        assert tags["comment"] == "edited"
        (attachment,) = new.streams.attachments
        assert attachment.data == b"a note"


def test_mp4_keeps_chapters_captions_and_own_tags_twice(tmp_path: Path) -> None:
    """Twice, because MP4 writes chapters as a text track, which must not be copied as one."""
    settings = Clip(
        subtitles=((0.1, 0.2, "one"),), subtitle_codec="mov_text", chapters=((0.0, 0.2, "Start"), (0.2, 0.5, "Ende"))
    )
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(), settings)
    extra = {"com.example.origin": "made here", "title": "A clip"}
    process_video(clip, tmp_path / "a.mp4", Nothing(), VideoOptions(), job_key="t", container_metadata=lambda: extra)
    run(tmp_path / "a.mp4", tmp_path / "b.mp4")
    for path in (tmp_path / "a.mp4", tmp_path / "b.mp4"):
        with av.open(str(path)) as container:
            assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["Start", "Ende"]
            assert container.metadata["com.example.origin"] == "made here"
            assert container.metadata["title"] == "A clip"
    assert copied_packets(tmp_path / "b.mp4") == copied_packets(clip)


def test_time_code_tracks_are_written_anew(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mov"
    with av.open(str(clip), "w") as out:
        video: Any = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        video.metadata["timecode"] = "01:02:03:04"
        for number in range(4):
            picture = av.VideoFrame.from_ndarray(moving_frames(1, (48, 64))[0], format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
    assert probe(clip).timecode == "01:02:03:04"
    for suffix in (".mov", ".mp4"):
        run(clip, tmp_path / f"out{suffix}")
        assert probe(tmp_path / f"out{suffix}").timecode == "01:02:03:04"


@pytest.mark.parametrize(("clip_suffix", "suffix"), [(".mp4", ".mp4"), (".mp4", ".mkv"), (".mkv", ".mkv")])
def test_cover_pictures_stay(tmp_path: Path, clip_suffix: str, suffix: str) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / f"out{suffix}"
    with av.open(str(clip), "w") as writer:
        video: Any = writer.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        cover: Any = writer.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        writer.start_encoding()
        picture = av.VideoFrame.from_ndarray(moving_frames(1, (96, 96))[0], format="rgb24")
        picture.pts, picture.time_base = 0, Fraction(1, 1)
        writer.mux(cover.encode(picture))
        writer.mux(cover.encode(None))
        for number, frame in enumerate(moving_frames(4, (48, 64))):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            writer.mux(video.encode(picture))
        writer.mux(video.encode(None))
    assert probe(clip).size_hw == (48, 64)
    if clip_suffix == ".mkv":
        run(clip, tmp_path / "clip.mkv")
        clip = tmp_path / "clip.mkv"
    run(clip, out)
    pictures = []
    for path in (clip, out):
        with av.open(str(path)) as reader:
            (track,) = [s for s in reader.streams.video if s.codec_context.name == "mjpeg"]
            assert track.disposition & av.stream.Disposition.attached_pic
            pictures.append(next(bytes(packet) for packet in reader.demux(track)))
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("name", "settings", "suffix", "message"),
    [
        ("a.mkv", Clip(subtitles=((0.0, 0.1, "x"),)), ".mp4", "subtitles stream 1 .*--drop subtitles, or write .mkv"),
        ("a.mp4", Clip(audio=TONE), ".webm", "audio stream 1 .*--drop audio, or write .mkv"),
        ("a.mkv", Clip(attachment=b"x"), ".mp4", "attachments stream 1 .*--drop attachments, or write .mkv"),
        ("a.mp4", Clip(subtitles=((0.0, 0.1, "x"),), subtitle_codec="mov_text"), ".mkv", "--drop subtitles"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_work(
    tmp_path: Path, name: str, settings: Clip, suffix: str, message: str
) -> None:
    clip = write_clip(tmp_path / name, moving_frames(), settings)
    edit = Painter()
    with pytest.raises(BadInputError, match=message):
        run(clip, tmp_path / f"out{suffix}", edit)
    assert edit.times == []
    assert leftovers(tmp_path) == []
    assert not (tmp_path / f"out{suffix}").exists()
    report = run(clip, tmp_path / f"out{suffix}", drop=("subtitles", "audio", "attachments"))
    assert len(report.dropped) == 1


def test_trimming_keeps_frames_sound_and_their_distance(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(50), Clip(audio=TONE, chapters=((0.0, 2.0, "All"),)))
    edit = Painter()
    report = run(clip, tmp_path / "out.mp4", edit, start_s=0.48, end_s=1.28, segment_s=0.3)
    assert report.frames == 20
    assert edit.times == pytest.approx([0.48 + number / 25 for number in range(20)])
    times = [shown.time for shown in shown_frames(tmp_path / "out.mp4")]
    assert times == [Fraction(number, 25) for number in range(20)]
    (old,), (new,) = copied_packets(clip).values(), copied_packets(tmp_path / "out.mp4").values()
    kept = [(time, data) for time, data in old if Fraction(12, 25) <= time < Fraction(32, 25)]
    assert [data for _, data in new] == [data for _, data in kept]
    moves = {time - before for (time, _), (before, _) in zip(new, kept, strict=True)}
    assert max(abs(move + Fraction(12, 25)) for move in moves) <= Fraction(1, 48000)
    first = shown_frames(clip)[12].rgb
    assert psnr(shown_frames(tmp_path / "out.mp4")[0].rgb[60:], first[60:]) > 26


def test_a_trim_outside_the_clip_is_an_error(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(), Clip())
    with pytest.raises(BadInputError, match="no frames between 5"):
        run(clip, tmp_path / "out.mp4", start_s=5.0)
    assert leftovers(tmp_path) == []


def test_transport_streams_from_the_middle_of_a_day(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "clip.ts",
        moving_frames(),
        Clip(audio=TONE, time_base=Fraction(1, 90000), times=[8_000_000_00 + 3600 * n for n in range(12)]),
    )
    run(clip, tmp_path / "out.mp4")
    old, new = shown_frames(clip), shown_frames(tmp_path / "out.mp4")
    assert [b.time - a.time for a, b in zip(old, new, strict=True)] == [0] * 12


def test_missing_times_are_derived_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "clip.h264"
    write_clip(path, moving_frames(10), Clip(container="h264", options={"bf": "2", "preset": "fast"}))
    report = run(path, tmp_path / "out.mp4")
    times = [shown.time for shown in shown_frames(tmp_path / "out.mp4")]
    assert report.frames == 10
    assert times == sorted(set(times))
    assert any("no usable presentation time" in note for note in report.notes)


def test_a_truncated_clip_is_done_as_far_as_it_goes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", moving_frames(100), Clip(options={"g": "10"}))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    report = run(clip, tmp_path / "out.mp4")
    assert 20 < report.frames < 80
    assert any("promises 4.0 s but its pictures end at" in note for note in report.notes)


def test_damage_is_counted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(60), Clip(options={"g": "10", "bf": "0"}))
    with av.open(str(clip)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(clip.read_bytes())
    for position, size in places[20:24]:
        assert position is not None
        data[position + 4 : position + size] = b"\xff" * (size - 4)
    clip.write_bytes(bytes(data))
    report = run(clip, tmp_path / "out.mp4", Painter())
    assert report.frames >= 50
    assert any("damaged" in note for note in report.notes)


def test_progress_and_report(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(40), Clip())
    seen: list[Progress] = []
    report = process_video(clip, tmp_path / "out.mp4", Painter(), VideoOptions(), job_key="k", progress=seen.append)
    assert seen[-1].frames == seen[-1].total == report.frames == 40
    assert seen[-1].fps > 0
    assert seen[-1].seconds_left == 0
    assert {"decode", "convert", "edit", "paste", "encode", "mux"} <= report.ms_per_frame.keys()
    assert report.duration_s == pytest.approx(1.6, abs=0.05)
    assert report.resumed_from == 0


def test_finish_sees_the_whole_file_before_it_has_its_name(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(), Clip())
    out = tmp_path / "out.mp4"

    def sign(path: Path) -> None:
        assert not out.exists()
        assert path.suffix == ".mp4"
        assert len(shown_frames(path)) == 12
        path.write_bytes(path.read_bytes() + b"\0\0\0\x08free")

    process_video(clip, out, Nothing(), VideoOptions(), job_key="k", finish=sign)
    assert out.read_bytes().endswith(b"free")
    assert leftovers(tmp_path) == []


def test_an_old_result_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(), Clip())
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")

    def fail(path: Path) -> None:
        raise OutputError("no key")

    with pytest.raises(OutputError, match="no key"):
        process_video(clip, out, Nothing(), VideoOptions(), job_key="k", finish=fail)
    assert out.read_bytes() == b"old"
    with pytest.raises(BadInputError, match=r"12 frames of an unfinished job with other inputs .*--restart"):
        run(clip, out)  # another key
    report = run(clip, out, restart=True)
    assert report.frames == 12
    assert len(shown_frames(out)) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": "theora"}, "codec 'theora'"),
        ({"preset": "warp"}, "preset 'warp'"),
        ({"drop": ("everything",)}, "cannot drop 'everything'"),
        ({"quality": 99}, "quality must be"),
        ({"start_s": float("nan")}, "start must be"),
        ({"start_s": 1e18}, "from 0 to 1000000000, found 1e\\+18"),
        ({"end_s": 1e18}, "end must be"),
        ({"start_s": 3.0, "end_s": 2.0}, "must come after"),
        ({"segment_s": 0.0}, "segment_s"),
    ],
)
def test_options_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        VideoOptions(**change)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ("out.avi", BadInputError, "cannot write '.avi'"),
        ("out", BadInputError, "without suffix"),
        ("missing/out.mp4", OutputError, "missing does not exist"),
        ("folder.mp4", OutputError, "is a folder"),
        ("clip.mp4", BadInputError, "same file"),
    ],
)
def test_outputs_that_cannot_be(tmp_path: Path, out: str, error: type[Exception], message: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(3), Clip())
    (tmp_path / "folder.mp4").mkdir()
    before = clip.read_bytes()
    with pytest.raises(error, match=message):
        run(clip, tmp_path / out)
    assert clip.read_bytes() == before
    assert leftovers(tmp_path) == []


def test_real_clips(face_data: Path, tmp_path: Path) -> None:
    clips = sorted((face_data / "video").iterdir())
    assert len(clips) >= 10
    for clip in clips:
        out = tmp_path / "out.mp4"
        report = run(clip, out, Painter(), end_s=1.0)
        assert report.frames > 10
        before = [shown.time for shown in shown_frames(clip)]
        after = [shown.time for shown in shown_frames(out)]
        assert after == before[: len(after)]
