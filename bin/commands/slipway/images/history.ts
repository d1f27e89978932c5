import { type HistoryStep, imageHistory } from '../../../../build/images/history.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { formatByteSize } from '../../../cli/duration.ts';
import { goJson } from '../../../cli/template/format.ts';
import { humanDuration } from '../../buildah/human-duration.ts';
import { renderRows } from '../../buildah/rows.ts';
import { openSession } from '../../buildah/session.ts';
import { findImageRecord } from './find.ts';

/** `slipway history`: podman history. */
export const history: CommandSpec = {
  name: 'history',
  summary: 'Show how a local image was made',
  usage: '[flags] IMAGE',
  args: { min: 1, max: 1 },
  flags: [
    { name: 'format', kind: 'string', usage: 'print each step by this Go `TEMPLATE`, or json' },
    { name: 'human', short: 'H', kind: 'bool', default: true, usage: 'print sizes and dates for people' },
    { name: 'no-trunc', kind: 'bool', usage: 'print everything whole' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print ids only' },
  ],
  run: async (context) => {
    await using session = await openSession(context);
    const record = await findImageRecord(session, context.args[0] as string);
    printSteps(context, await imageHistory(session.store, record));
  },
};

function printSteps(context: CommandContext, steps: readonly HistoryStep[]): void {
  const { flags, print, io } = context;
  const format = flags.string('format');
  const whole = flags.bool('no-trunc');
  const idOf = (step: HistoryStep) => (step.id ? step.id.slice(0, whole ? 64 : 12) : '<missing>');
  if (format === 'json') print(goJson(steps.map(jsonStep)));
  else if (flags.bool('quiet')) for (const step of steps) print(idOf(step));
  else {
    const rows = steps.map((step) => ({
      ID: idOf(step),
      Created: flags.bool('human') ? since(step.created) : (step.created ?? ''),
      CreatedAt: step.created ?? '',
      CreatedSince: since(step.created),
      CreatedBy: whole || step.createdBy.length <= 45 ? step.createdBy : `${step.createdBy.slice(0, 42)}...`,
      Size: flags.bool('human') ? formatByteSize(step.size) : String(step.size),
      Comment: step.comment ?? '',
      Tags: step.tags,
    }));
    const headings = {
      ID: 'ID',
      Created: 'CREATED',
      CreatedBy: 'CREATED BY',
      Size: 'SIZE',
      Comment: 'COMMENT',
    };
    io.stdout.write(
      renderRows(
        rows,
        format || 'table {{.ID}}\t{{.Created}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}',
        headings,
      ),
    );
  }
}

function jsonStep(step: HistoryStep): object {
  return {
    id: step.id ?? '<missing>',
    created: step.created,
    CreatedBy: step.createdBy,
    size: step.size,
    ...(step.comment ? { comment: step.comment } : {}),
    ...(step.tags.length ? { tags: step.tags } : {}),
  };
}

function since(created: string | undefined): string {
  return created ? `${humanDuration(Date.now() - Date.parse(created))} ago` : 'N/A';
}
