/** The style sheet of the build report: light and dark as the reader's system has it. */
export const REPORT_STYLE = `
:root{color-scheme:light dark;--line:#8886;--built:#2f7d4f;--cached:#4a78b5;--failed:#c03a2b;--quiet:#888}
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
section+section{border-top:2px solid var(--line);margin-top:3rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;border-left:4px solid var(--built);padding-left:1rem}
dl.bad{border-color:var(--failed)}dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
.graph rect{fill:Canvas;stroke:var(--built);stroke-width:1.5}.graph text{fill:currentColor;font-size:11px}
.graph .name{font-weight:600;font-size:13px}.graph .note{fill:var(--quiet)}
.graph .skipped rect{stroke:var(--quiet);stroke-dasharray:4 3}.graph .failed rect{stroke:var(--failed);stroke-width:2.5}
.graph .edge{fill:none;stroke:var(--quiet);stroke-width:1.5}.graph .tip{fill:var(--quiet)}
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600;color:var(--quiet)}
th,td{padding:.2rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.step{overflow-wrap:anywhere}.step em{color:var(--failed)}.bar{width:38%;vertical-align:middle}
.bar rect{fill:var(--built)}.cached .bar rect{fill:var(--cached)}.failed .bar rect{fill:var(--failed)}
.cached .number{color:var(--cached)}.stopped{color:var(--quiet)}
details{border-bottom:1px solid var(--line);padding:.3rem 0}details table{width:auto;margin-left:2rem}
summary{cursor:pointer}summary rect{fill:var(--cached)}summary svg{background:#8882;vertical-align:middle;margin:0 .6rem}
.size{display:inline-block;min-width:5rem;text-align:right}
code{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}
`;
