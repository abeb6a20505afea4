"""Style sheet of the evaluation's pages: light and dark, narrow and wide."""

from __future__ import annotations

LIGHT = ("#2b6cb0", "#c05621", "#2f855a", "#b83280", "#6b46c1", "#8a6d00", "#0e7490", "#718096")
DARK = ("#7ab3ef", "#f0a36b", "#74c796", "#f08cc4", "#b79df0", "#dcc25a", "#5cc8dd", "#a0aec0")
"""Colours of methods, in order; told apart by people who do not see red or green by their lightness and by labels."""


def _colours(palette: tuple[str, ...]) -> str:
    return "".join(f"--m{number}:{colour};" for number, colour in enumerate(palette))


def _classes() -> str:
    return "".join(
        f"svg .m{n}{{stroke:var(--m{n});fill:var(--m{n})}}.chip.m{n}{{background:var(--m{n});border-color:var(--m{n})}}"
        for n in range(len(LIGHT))
    )


STYLE = f"""
:root{{color-scheme:light dark;--ink:#1d2430;--grey:#5b6470;--rule:#dfe4ea;--paper:#fff;--soft:#f3f6f9;
--best:#dcebfa;--shade:#0002;--good:#1f7a4d;--bad:#b3402a;{_colours(LIGHT)}}}
@media (prefers-color-scheme:dark){{:root{{--ink:#e6e9ee;--grey:#9aa4b2;--rule:#2c3440;--paper:#12161c;--soft:#1b212a;
--best:#1d3550;--shade:#fff3;--good:#6fd19c;--bad:#f09a84;{_colours(DARK)}}}}}
*{{box-sizing:border-box}}
body{{font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--ink);background:var(--paper);
max-width:1120px;margin:1.6rem auto;padding:0 1rem;overflow-wrap:break-word}}
h1{{font-size:1.6rem;margin:0 0 .2rem;overflow-wrap:anywhere}}
h2{{font-size:1.15rem;margin:2.4rem 0 .7rem;border-bottom:1px solid var(--rule);padding-bottom:.25rem}}
h3{{font-size:1rem;margin:1.2rem 0 .3rem}}p{{margin:.4rem 0;max-width:75ch}}.note{{color:var(--grey);font-size:.87rem}}
.legend{{list-style:none;padding:0;margin:.8rem 0;display:grid;gap:.25rem}}
.legend span{{color:var(--grey);font-size:.87rem}}
.chip{{display:inline-block;width:.8em;height:.8em;border-radius:50%;margin-right:.5em;border:2px solid}}
i.chip.o{{background:none}}
.scroll{{overflow-x:auto;margin:.4rem 0;background:linear-gradient(-90deg,var(--paper) 40%,transparent) 100%/2rem 100%
no-repeat local,linear-gradient(-90deg,var(--shade),transparent) 100%/.7rem 100% no-repeat scroll}}
table{{border-collapse:collapse;font-size:.92rem}}
.figures{{min-width:100%}}.figures thead th:first-child{{width:38%}}
.figures th,.figures td{{padding:.35rem .7rem;border-bottom:1px solid var(--rule);vertical-align:top}}
.figures thead th{{text-align:right;white-space:nowrap;vertical-align:bottom}}
.figures tbody th{{text-align:left;font-weight:600;min-width:15rem;max-width:21rem;position:sticky;left:0;
background:var(--paper)}}
.figures th span{{color:var(--grey);font-weight:400}}
.figures td{{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}}
.figures small{{display:block;color:var(--grey);font-weight:400;font-size:.78rem}}
.figures .suite th{{position:static;max-width:none;background:var(--soft);font-size:.8rem;letter-spacing:.04em;
text-transform:uppercase;color:var(--grey);padding:.25rem .7rem}}
.figures .best{{background:var(--best);font-weight:700}}
.better{{color:var(--good);font-weight:600}}.worse{{color:var(--bad);font-weight:600}}
.plots{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:1.2rem 2rem}}
figure{{margin:0;min-width:0}}figcaption{{font-size:.87rem;color:var(--grey)}}
.plots figcaption{{font-weight:600;color:var(--ink);margin-bottom:.2rem}}
svg{{display:block;width:100%;max-width:460px;height:auto}}
svg text{{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;stroke:none}}
svg text{{fill:var(--grey)}}svg text.ink{{fill:var(--ink)}}svg path{{stroke-width:1.8}}
svg .rule{{stroke:var(--rule);stroke-width:1}}svg .lead{{stroke:var(--grey);stroke-width:.7}}{_classes()}
svg circle.o{{fill:var(--paper);stroke-width:2}}
details{{margin:.6rem 0}}summary{{cursor:pointer;font-weight:600;margin:.3rem 0 .6rem}}
.cases{{display:flex;flex-wrap:wrap;gap:1.1rem 2.4rem}}.case{{max-width:100%}}
.case p{{margin:.2rem 0;overflow-wrap:anywhere;max-width:none}}
.strip{{display:flex;gap:4px;overflow-x:auto}}.strip figure{{flex:0 0 auto;width:132px}}
.strip img,.none{{width:132px;height:132px;object-fit:cover;display:block;border-radius:3px}}
.none{{display:grid;place-items:center;background:var(--soft);color:var(--grey);font-size:.87rem}}
.strip .row{{width:216px}}.strip .row img{{width:216px;height:72px}}
.strip figcaption{{text-align:center;font-size:.78rem}}
.plain{{padding-left:1.1rem}}.plain span{{color:var(--grey);font-size:.87rem;overflow-wrap:anywhere}}
.facts th{{text-align:left;font-weight:600;padding:.15rem 1rem .15rem 0;vertical-align:top;white-space:nowrap}}
.facts td{{padding:.15rem 1rem .15rem 0;min-width:7.5rem;overflow-wrap:anywhere}}
.facts td:nth-child(n+3){{white-space:nowrap}}
@media (max-width:600px){{body{{margin:1rem auto;font-size:14px}}.figures th,.figures td{{padding:.3rem .45rem}}
.figures tbody th{{min-width:8rem;max-width:9.5rem}}.figures .suite th{{max-width:none}}
.figures tbody th small{{display:none}}details .figures tbody th small{{display:block}}
.strip figure,.strip img,.none{{width:104px}}.strip img,.none{{height:104px}}}}
"""
