import { SlipwayError } from '../../../../errors.ts';
import { formatReference } from '../../../../image/reference.ts';
import type { CommandSpec } from '../../../cli/contract.ts';
import { localName } from '../../buildah/local-name.ts';
import { openSession } from '../../buildah/session.ts';
import { findImageRecord } from './find.ts';

/** `slipway untag`: podman untag. */
export const untag: CommandSpec = {
  name: 'untag',
  summary: 'Remove names from a local image',
  usage: 'IMAGE [NAME...]',
  examples: ['slipway untag app', 'slipway untag app registry.example.com/team/app:1'],
  args: { min: 1 },
  run: async (context) => {
    await using session = await openSession(context);
    const [image = '', ...names] = context.args;
    const record = await findImageRecord(session, image);
    const removed = names.length ? names.map((name) => formatReference(localName(name))) : record.names;
    const unknown = removed.find((name) => !record.names.includes(name));
    if (unknown) throw new SlipwayError('not-found', `${unknown}: tag not known`);
    await session.store.images.removeNames(record.id, removed);
  },
};
