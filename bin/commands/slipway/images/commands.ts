import type { ToolSpec } from '../../../cli/contract.ts';

/** Those that handle files of other owners in local storage; the rest must stay the user that started it (ssh, gpg). */
export const STORAGE_COMMANDS: readonly string[] = [
  ...['images', 'pull', 'push', 'tag', 'untag', 'rmi'],
  ...['save', 'load', 'import', 'history', 'image-tree', 'diff'],
];

/** Podman's image commands by the names that slipway gives them. */
export const IMAGE_COMMANDS: NonNullable<ToolSpec['commands']> = [
  {
    name: 'images',
    summary: 'List the images in local storage',
    load: async () => (await import('./images.ts')).images,
  },
  {
    name: 'pull',
    summary: 'Pull images into local storage',
    load: async () => (await import('./pull.ts')).pull,
  },
  {
    name: 'push',
    summary: 'Push an image from local storage to another place',
    load: async () => (await import('./push.ts')).push,
  },
  { name: 'tag', summary: 'Add names to an image', load: async () => (await import('./tag.ts')).tag },
  {
    name: 'untag',
    summary: 'Remove names from a local image',
    load: async () => (await import('./untag.ts')).untag,
  },
  {
    name: 'rmi',
    summary: 'Remove images from local storage',
    load: async () => (await import('./rmi.ts')).rmi,
  },
  {
    name: 'save',
    summary: 'Save local images to an archive or directory',
    load: async () => (await import('./save.ts')).save,
  },
  {
    name: 'load',
    summary: 'Load images from an archive or directory into local storage',
    load: async () => (await import('./load.ts')).load,
  },
  {
    name: 'import',
    summary: 'Make an image from an archive of a root file system',
    load: async () => (await import('./import.ts')).importCommand,
  },
  {
    name: 'history',
    summary: 'Show how a local image was made',
    load: async () => (await import('./history.ts')).history,
  },
  {
    name: 'image-tree',
    summary: 'Show the layers of a local image and the images that end in them',
    load: async () => (await import('./image-tree.ts')).imageTree,
  },
  {
    name: 'diff',
    summary: 'Show which files an image changes, or differ between two images',
    load: async () => (await import('./diff.ts')).diff,
  },
  {
    name: 'search',
    summary: 'Search registries for repositories',
    load: async () => (await import('./search.ts')).search,
  },
  {
    name: 'image-scp',
    summary: 'Copy a local image into the storage of another machine over ssh',
    load: async () => (await import('./image-scp.ts')).imageScp,
  },
  {
    name: 'image-sign',
    summary: 'Make simple signatures of images in registries, in a local lookaside store',
    load: async () => (await import('./image-sign.ts')).imageSign,
  },
  {
    name: 'trust-show',
    summary: 'Show the trust policy',
    load: async () => (await import('../trust.ts')).show,
  },
  {
    name: 'trust-set',
    summary: 'Set the rule for a registry, namespace or repository',
    load: async () => (await import('../trust.ts')).set,
  },
];
