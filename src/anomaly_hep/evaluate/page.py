"""The look of report.html: one page that loads nothing, for screens of any width, light or dark."""

from __future__ import annotations

from string import Template

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1c2327; --paper: #fbfbf9; --card: #ffffff; --line: #d9dcd8; --soft: #5d676c;
  --accent: #1f6fb2; --note: #fff5dc; --note-line: #d99a00; --chosen: #e8f1f9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e7e8; --paper: #14181a; --card: #1d2326; --line: #384145; --soft: #a0abb0;
    --accent: #7cb9ec; --note: #2e2815; --note-line: #d99a00; --chosen: #1d2f3d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 {
  font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-top: .4rem;
  border-top: 1px solid var(--line);
}
p { margin: .5rem 0; max-width: 52rem; }
.soft, .results p, .figure figcaption { color: var(--soft); font-size: .88rem; }
.note {
  background: var(--note); border-left: 4px solid var(--note-line);
  padding: .6rem .9rem; margin: 1rem 0; border-radius: 4px;
}
.headline { font-size: 1.12rem; }
.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem;
  padding: 0; margin: 1.2rem 0;
}
.cards div {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem .8rem;
}
.cards dt { color: var(--soft); font-size: .8rem; }
.cards dd { margin: 0; font-size: 1.2rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll {
  overflow-x: auto; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card);
}
table {
  border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums;
}
th, td { padding: .4rem .6rem; text-align: right; white-space: nowrap; vertical-align: top; }
thead th { font-weight: 600; border-bottom: 1px solid var(--line); }
tbody th {
  text-align: left; font-weight: 500; position: sticky; left: 0; background: var(--card);
  white-space: normal; min-width: 8.5rem;
}
table.wide th, table.wide td { padding: .35rem .28rem; font-size: .85rem; }
table.wide td small { font-size: .72rem; }
tr.first { border-top: 1px solid var(--line); }
td small { display: block; color: var(--soft); font-size: .78rem; }
tr.chosen, tr.chosen th { background: var(--chosen); font-weight: 650; }
tr.published, tr.published th { color: var(--soft); font-weight: 400; }
td.text { text-align: left; white-space: normal; }
tr.beside th { padding-left: 1.4rem; white-space: nowrap; }
tr.beside th, tr.beside td { padding-top: 0; }
figure { margin: 0 0 1.2rem; }
.results figcaption { font-weight: 600; margin: .9rem 0 .4rem; }
.figure {
  background: #ffffff; border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem;
}
.figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.figure figcaption { color: #4c565b; padding: .5rem .3rem 0; }
.pair {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 1rem;
}
details { margin: .7rem 0; }
summary { cursor: pointer; color: var(--accent); padding: .2rem 0; }
pre {
  overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem; font-size: .82rem; line-height: 1.45;
}
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
<p class="soft">$subtitle</p>
$banner
<p class="headline">$headline</p>
<dl class="cards">$cards</dl>
$results
$reconstruction
<h2>Figures</h2>
$figures
<h2>Other metrics</h2>
$other
<h2>Published results</h2>
$published
<h2>Data</h2>
$data
<h2>How to make this again</h2>
$again
</main>
</body>
</html>
""")
