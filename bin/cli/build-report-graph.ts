import type { ReportBuild } from './build-report-data.ts';
import { clip, html, type Markup, markup } from './html.ts';

const WIDTH = 210;
const HEIGHT = 56;
const GAP_X = 70;
const GAP_Y = 22;
const MARGIN = 12;

interface Box {
  readonly x: number;
  readonly y: number;
}

/** The stages and what each takes from others, drawn from left to right. */
export function stageGraphSvg(build: ReportBuild): Markup {
  const boxes = layOut(build);
  const xs = boxes.map(({ x }) => x);
  const ys = boxes.map(({ y }) => y);
  const width = Math.max(...xs, 0) + WIDTH + MARGIN;
  const height = Math.max(...ys, 0) + HEIGHT + MARGIN;
  const edges = build.stages.flatMap(({ stage, needs }) =>
    needs.map((need) => edge(boxes[need] as Box, boxes[stage] as Box)),
  );
  const nodes = build.stages.map((_, at) => node(build, at, boxes[at] as Box));
  return html`<svg class="graph" role="img" aria-label="Stages" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" class="tip"/></marker></defs>
${markup(edges)}${markup(nodes)}</svg>`;
}

/** A stage stands one column to the right of the last one it needs. */
function layOut(build: ReportBuild): Box[] {
  const columns = new Map<number, number>();
  const columnOf = (stage: number): number => {
    const known = columns.get(stage);
    if (known !== undefined) return known;
    const needs = build.stages[stage]?.needs ?? [];
    const column = needs.length === 0 ? 0 : 1 + Math.max(...needs.map(columnOf));
    columns.set(stage, column);
    return column;
  };
  const rows = new Map<number, number>();
  return build.stages.map(({ stage }) => {
    const column = columnOf(stage);
    const row = rows.get(column) ?? 0;
    rows.set(column, row + 1);
    return { x: MARGIN + column * (WIDTH + GAP_X), y: MARGIN + row * (HEIGHT + GAP_Y) };
  });
}

function node(build: ReportBuild, at: number, { x, y }: Box): Markup {
  const stage = build.stages[at];
  const steps = build.steps.filter((step) => step.stage === at);
  const cached = steps.filter((step) => step.outcome === 'cached').length;
  const state = stage?.skipped
    ? 'skipped'
    : steps.some((step) => step.outcome === 'failed')
      ? 'failed'
      : 'built';
  const note = stage?.skipped ? 'skipped' : `${steps.length} steps, ${cached} cached`;
  return html`<g class="${state}"><title>${stage?.name ?? ''} FROM ${stage?.base ?? ''}</title>
<rect x="${x}" y="${y}" width="${WIDTH}" height="${HEIGHT}" rx="6"/>
<text x="${x + 10}" y="${y + 19}" class="name">${clip(stage?.name ?? '', 26)}</text>
<text x="${x + 10}" y="${y + 34}">FROM ${clip(stage?.base ?? '', 27)}</text>
<text x="${x + 10}" y="${y + 48}" class="note">${note}</text></g>
`;
}

function edge(from: Box, to: Box): Markup {
  const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const bend = Math.max(30, (x2 - x1) / 2);
  return html`<path class="edge" marker-end="url(#tip)" d="M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}"/>
`;
}
