"""How the section about the graph looks: wide, on a phone, dark and printed."""

from __future__ import annotations

# On a narrow page each row becomes a block with both files side by side. The roles that the markup names keep it a
# table for a screen reader, which would lose it with `display: grid`.
STYLE = """
#graph {
  --g-card: #fff; --g-text: #1b1f24; --g-quiet: #525a64; --g-line: #d5dae0; --g-track: #e6eaef; --g-bar: #6f7883;
  --g-form: #8a3b00; --g-form-back: #fdeee2; --g-less: #a4262c; --g-less-back: #fdecec; --g-number: #0b4fb3;
  --g-number-back: #e8effb; --g-mark: #6b2fa0; --g-mark-back: #f3eafb;
  color: var(--g-text); line-height: 1.45; overflow-wrap: anywhere;
}
@media (prefers-color-scheme: dark) {
  #graph {
    --g-card: #191d23; --g-text: #e9ecef; --g-quiet: #a8b1bc; --g-line: #323943; --g-track: #2b313a; --g-bar: #88929e;
    --g-form: #ffb98a; --g-form-back: #3a2618; --g-less: #f6aea9; --g-less-back: #40201f; --g-number: #a8c7fa;
    --g-number-back: #1d2a3f; --g-mark: #d7b8f3; --g-mark-back: #33224a;
  }
}
#graph * { box-sizing: border-box; }
#graph .g-quiet { color: var(--g-quiet); font-size: .875rem; }
#graph .g-says { margin: 0 0 1rem; padding-left: 1.2rem; }
#graph .g-says li { margin-bottom: .3rem; }
#graph .g-name { font: 600 .9rem/1.4 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
#graph table { display: table; width: 100%; border-collapse: collapse; background: var(--g-card); font-size: .9rem; }
#graph caption { padding: 0 0 .5rem; text-align: left; color: var(--g-quiet); font-size: .875rem; }
#graph th, #graph td {
  padding: .6rem .6rem; border-bottom: 1px solid var(--g-line); text-align: left; vertical-align: top;
  font-weight: 400; white-space: normal;
}
#graph thead th { border-bottom: 2px solid var(--g-line); font-weight: 600; }
#graph thead th small { display: block; color: var(--g-quiet); font-weight: 400; }
#graph tbody th { width: 17%; border-left: 4px solid transparent; }
#graph td.g-side { width: 23%; }
#graph td.g-what { width: 21%; }
#graph tr.g-changed > th { border-left-color: var(--g-form); }
#graph tr.g-first > th { border-left-color: var(--g-mark); }
#graph .g-changes { margin: 0; padding: 0; list-style: none; }
#graph .g-changes li { margin: 0 0 .3rem; }
#graph .g-changes span, #graph .g-flag {
  padding: .1rem .45rem; border-radius: .35rem; font-size: .85rem; font-weight: 600;
  -webkit-box-decoration-break: clone; box-decoration-break: clone;
}
#graph .g-flag { display: table; margin: .3rem 0 0; background: var(--g-mark-back); color: var(--g-mark); }
#graph .g-narrowed, #graph .g-widened, #graph .g-replaced { background: var(--g-form-back); color: var(--g-form); }
#graph .g-removed, #graph .g-added, #graph .g-fused { background: var(--g-less-back); color: var(--g-less); }
#graph .g-quantized, #graph .g-reformatted, #graph .g-weights {
  background: var(--g-number-back); color: var(--g-number);
}
#graph .g-form { font-weight: 600; }
#graph .g-gone { color: var(--g-quiet); font-style: italic; }
#graph .g-track {
  display: block; height: .4rem; margin: .25rem 0 .1rem; border-radius: .2rem; background: var(--g-track);
}
#graph .g-bar { display: block; height: 100%; min-width: 1px; border-radius: .2rem; background: var(--g-bar); }
#graph .g-after .g-bar { background: var(--g-number); }
#graph .g-number { font-variant-numeric: tabular-nums; }
#graph .g-label { display: none; }
@media screen and (max-width: 48rem) {
  #graph table, #graph tbody { display: block; background: none; }
  #graph thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  #graph caption { display: block; }
  #graph tr {
    display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); margin-bottom: .75rem;
    border: 1px solid var(--g-line); border-radius: .5rem; background: var(--g-card);
  }
  #graph th, #graph td, #graph tbody th, #graph td.g-side, #graph td.g-what {
    width: auto; border-bottom: 0; padding: .5rem .6rem;
  }
  #graph tbody th, #graph td.g-what, #graph td.g-difference, #graph td.g-more { grid-column: 1 / -1; }
  #graph tbody th { border-radius: .5rem 0 0 .5rem; }
  #graph td.g-what { padding-top: 0; }
  #graph td.g-side { border-top: 1px solid var(--g-line); }
  #graph td.g-difference { border-top: 1px solid var(--g-line); }
  #graph td.g-none { display: none; }
  #graph .g-label { display: block; color: var(--g-quiet); font-size: .8rem; }
}
@media print {
  #graph {
    --g-card: #fff; --g-text: #000; --g-quiet: #333; --g-line: #999; --g-track: #ddd; --g-bar: #555;
    --g-form: #000; --g-less: #000; --g-number: #000; --g-mark: #000;
    --g-form-back: #fff; --g-less-back: #fff; --g-number-back: #fff; --g-mark-back: #fff;
  }
  #graph .g-changes span, #graph .g-flag { border: 1px solid #666; }
  #graph .g-track, #graph .g-bar { print-color-adjust: exact; }
  #graph tr { break-inside: avoid; }
  #graph thead { display: table-header-group; }
}
"""
