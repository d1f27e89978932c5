import { imageLayers, imageSize, type LayerNode, layersOnTop } from '../../../../build/images/history.ts';
import type { CommandSpec } from '../../../cli/contract.ts';
import { formatByteSize } from '../../../cli/duration.ts';
import { openSession } from '../../buildah/session.ts';
import { findImageRecord } from './find.ts';

/** `slipway image-tree`: podman image tree. */
export const imageTree: CommandSpec = {
  name: 'image-tree',
  summary: 'Show the layers of a local image and the images that end in them',
  usage: '[flags] IMAGE',
  args: { min: 1, max: 1 },
  flags: [
    { name: 'whatrequires', kind: 'bool', usage: 'show all images and layers that are built on this image' },
  ],
  run: async (context) => {
    await using session = await openSession(context);
    const record = await findImageRecord(session, context.args[0] as string);
    const nodes = context.flags.bool('whatrequires')
      ? await layersOnTop(session.store, record)
      : await imageLayers(session.store, record);
    context.print(`Image ID: ${record.id.slice(0, 12)}`);
    context.print(`Tags:     [${record.names.join(' ')}]`);
    context.print(`Size:     ${compactSize(await imageSize(session.store, record))}`);
    context.print(nodes.length ? 'Image Layers' : 'No Image Layers');
    for (const line of renderLayers(nodes, '')) context.print(line);
  },
};

function renderLayers(nodes: readonly LayerNode[], lead: string): string[] {
  return nodes.flatMap((node, at) => {
    const last = at === nodes.length - 1;
    const owner = node.topLayerOf.length ? ` Top Layer of: [${node.topLayerOf.join(' ')}]` : '';
    const line = `${lead}${last ? '└── ' : '├── '}ID: ${node.id.slice(0, 12)} Size: ${compactSize(node.size).padStart(7)}${owner}`;
    return [line, ...renderLayers(node.children, `${lead}${last ? '    ' : '│   '}`)];
  });
}

function compactSize(bytes: number): string {
  return formatByteSize(bytes).replace(' ', '');
}
