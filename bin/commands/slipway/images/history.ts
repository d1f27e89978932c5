import { type HistoryStep, imageHistory } from '../../../../build/images/history.ts';
import { goJsonText } from '../../../../image/go-json.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { formatByteSize } from '../../../cli/duration.ts';
import { humanDuration } from '../../buildah/human-duration.ts';
import { openSession } from '../../buildah/session.ts';
import { findImageRecord } from './find.ts';
import { isJson, printListing } from './rows.ts';

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
  const { flags } = context;
  const format = flags.string('format');
  const whole = flags.bool('no-trunc');
  if (flags.bool('quiet') && !isJson(format)) {
    for (const step of steps) context.print(idOf(step, whole));
    return;
  }
  const rows = steps.map((step) => templateRow(step, whole, flags.bool('human')));
  if (isJson(format)) context.print(goJsonText(steps.map(jsonStep)));
  else
    printListing(context, {
      rows,
      format,
      columns: '{{.ID}}\t{{.Created}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}',
    });
}

function idOf({ id }: HistoryStep, whole: boolean): string {
  return id ? id.slice(0, whole ? 64 : 12) : '<missing>';
}

function templateRow(step: HistoryStep, whole: boolean, human: boolean): object {
  const { createdBy } = step;
  const at = secondsOf(step);
  const since = at ? `${humanDuration(Date.now() - at.getTime())} ago` : 'N/A';
  return {
    ID: idOf(step, whole),
    Created: human ? since : at ? rfc3339(at) : '',
    CreatedAt: at ?? new Date(0),
    CreatedSince: since,
    CreatedBy: whole || createdBy.length <= 45 ? createdBy : `${createdBy.slice(0, 42)}...`,
    Size: formatByteSize(step.size),
    Comment: step.comment ?? '',
    Tags: step.tags,
  };
}

/** Podman's two dates: as the image has it, and in whole seconds. */
function jsonStep(step: HistoryStep): object {
  const at = secondsOf(step);
  return {
    id: step.id ?? '<missing>',
    created: step.created,
    CreatedBy: step.createdBy,
    size: step.size,
    ...(step.comment ? { comment: step.comment } : {}),
    ...(step.tags.length ? { tags: step.tags } : {}),
    ...(at ? { Created: rfc3339(at) } : {}),
  };
}

function secondsOf({ created }: HistoryStep): Date | undefined {
  return created ? new Date(Math.floor(Date.parse(created) / 1000) * 1000) : undefined;
}

function rfc3339(at: Date): string {
  return at.toISOString().replace('.000Z', 'Z');
}
