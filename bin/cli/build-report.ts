import type { LayerContents } from '../../build/record/layer-files.ts';
import type { ReportBuild, ReportStep } from './build-report-data.ts';
import { stageGraphSvg } from './build-report-graph.ts';
import { REPORT_STYLE } from './build-report-style.ts';
import { shortIds } from './build-screen.ts';
import { formatByteSize } from './duration.ts';
import { clip, html, Markup, markup } from './html.ts';

/** The report as one page that loads nothing from elsewhere and runs nothing. */
export function buildReport(builds: readonly ReportBuild[], title: string): string {
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Markup(REPORT_STYLE)}</style></head>
<body><h1>${title}</h1>
${markup(builds.map(buildSection))}</body></html>
`;
  return String(page);
}

function buildSection(build: ReportBuild): Markup {
  return html`<section>${summary(build)}
<h2>Stages</h2><div class="scroll">${stageGraphSvg(build)}</div>
<h2>Time line</h2>${timeLine(build)}
${explanations(build)}<h2>Layers</h2>${layers(build.layers)}
${warnings(build)}</section>
`;
}

function summary(build: ReportBuild): Markup {
  const cached = build.steps.filter((step) => step.outcome === 'cached').length;
  const size = build.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  const facts: [string, string][] = [
    ['Platform', build.platform],
    ['Started', build.startedAt],
    ['Took', seconds(build.durationMs)],
    ['Steps', `${build.steps.length}, of which ${cached} came from the cache`],
    build.failure === undefined ? ['Image', build.imageId ?? ''] : ['Failed', build.failure],
    ...(build.names.length > 0 ? [['Names', build.names.join(', ')] as [string, string]] : []),
    ...(build.layers.length > 0 ? [['Size', formatByteSize(size)] as [string, string]] : []),
  ];
  return html`<dl class="${build.failure === undefined ? 'ok' : 'bad'}">${markup(
    facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`),
  )}</dl>`;
}

function timeLine(build: ReportBuild): Markup {
  const end = Math.max(build.durationMs, ...build.steps.map((step) => step.endMs ?? 0), 1);
  const rows = [...build.steps]
    .sort((a, b) => a.stage - b.stage || a.step - b.step)
    .map((step) => timeRow(build, step, end));
  return html`<table class="time"><thead><tr><th>Stage</th><th>Step</th><th>Took</th><th>Layer</th><th>0 to ${seconds(end)}</th></tr></thead>
<tbody>${markup(rows)}</tbody></table>`;
}

function timeRow(build: ReportBuild, step: ReportStep, end: number): Markup {
  const outcome = step.outcome ?? 'stopped';
  const stop = step.endMs ?? build.durationMs;
  const left = (step.startMs / end) * 100;
  const width = Math.max(0.3, ((stop - step.startMs) / end) * 100);
  const name = build.stages[step.stage]?.name ?? String(step.stage);
  const took = outcome === 'cached' ? 'cached' : seconds(stop - step.startMs);
  const layer = step.layerBytes === undefined ? '' : formatByteSize(Math.max(0, step.layerBytes));
  return html`<tr class="${outcome}"><td>${clip(name, 24)}</td>
<td class="step" title="${step.text}">${step.step}. ${clip(shortIds(step.text), 90)}${step.message === undefined ? '' : html`<br><em>${step.message}</em>`}</td>
<td class="number">${took}</td><td class="number">${layer}</td>
<td class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none" width="100%" height="12"><rect x="${left.toFixed(2)}" y="0" width="${width.toFixed(2)}" height="10"/></svg></td></tr>
`;
}

function explanations({ explanations: list }: ReportBuild): Markup {
  if (!list) return html``;
  if (list.length === 0) return html`<h2>Why steps were built</h2><p>Everything came from the cache.</p>`;
  return html`<h2>Why steps were built</h2><ul>${markup(
    list.map(
      ({ stageName, step, text, reasons }) =>
        html`<li><code>[${stageName}] ${step}. ${clip(text, 120)}</code><ul>${markup(
          reasons.map((reason) => html`<li>${reason}</li>`),
        )}</ul></li>`,
    ),
  )}</ul>`;
}

function layers(list: readonly LayerContents[]): Markup {
  if (list.length === 0) return html`<p>No image was made.</p>`;
  const biggest = Math.max(...list.map((layer) => layer.sizeBytes), 1);
  return markup(list.map((layer, at) => layerDetails(layer, at, biggest)));
}

function layerDetails(layer: LayerContents, at: number, biggest: number): Markup {
  const width = Math.max(0.5, (layer.sizeBytes / biggest) * 100).toFixed(2);
  return html`<details${new Markup(layer.sizeBytes === biggest ? ' open' : '')}><summary><b>${at + 1}</b> <span class="size">${formatByteSize(layer.sizeBytes)}</span>
<svg viewBox="0 0 100 10" preserveAspectRatio="none" width="160" height="10"><rect x="0" y="0" width="${width}" height="10"/></svg>
<code>${clip(layer.createdBy, 100)}</code></summary>
<p>${layer.fileCount} files${layer.diffId === undefined ? '' : html`, <code>${layer.diffId}</code>`}</p>
<table>${markup(
    layer.files.map(
      (file) =>
        html`<tr><td class="number">${formatByteSize(file.sizeBytes)}</td><td><code>${file.path}</code></td></tr>`,
    ),
  )}</table></details>
`;
}

function warnings({ warnings: list }: ReportBuild): Markup {
  if (list.length === 0) return html``;
  return html`<h2>Warnings</h2><ul>${markup(list.map((text) => html`<li>${text}</li>`))}</ul>`;
}

function seconds(milliseconds: number): string {
  return `${(Math.max(0, milliseconds) / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`;
}
