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
    const lines = nodes.flatMap(flatten);
    for (const [at, node] of lines.entries()) context.print(renderLayer(node, at === lines.length - 1));
    context.print('');
  },
};

/** All layers stand below the image, whichever of them is built on which, as Podman shows them. */
function flatten(node: LayerNode): LayerNode[] {
  return [node, ...node.children.flatMap(flatten)];
}

function renderLayer({ id, size, topLayerOf }: LayerNode, isLast: boolean): string {
  const owner = topLayerOf.length ? ` Top Layer of: [${topLayerOf.join(' ')}]` : '';
  return `${isLast ? '└── ' : '├── '}ID: ${id.slice(0, 12)} Size: ${compactSize(size).padStart(7)}${owner}`;
}

function compactSize(bytes: number): string {
  return formatByteSize(bytes, 4).replace(' ', '');
}
