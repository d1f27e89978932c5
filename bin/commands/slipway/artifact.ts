import type { CommandSpec } from '../../cli/contract.ts';
import { type Adoption, adopt } from './adopt.ts';

/** Their arguments are registries, not images. */
const NAMES: Adoption = { takesImages: false };

/** `slipway artifact`: what the oras tool does. */
export const artifact: CommandSpec = {
  name: 'artifact',
  summary: 'Push, pull, attach and discover OCI artifacts',
  usage: '',
  commands: [
    {
      name: 'push',
      summary: 'Push files as an artifact',
      load: async () => (await import('./artifact/push.ts')).push,
    },
    {
      name: 'pull',
      summary: 'Pull the files of an artifact',
      load: async () => (await import('./artifact/pull.ts')).pull,
    },
    {
      name: 'attach',
      summary: 'Push files as an artifact that refers to an image',
      load: async () => (await import('./artifact/push.ts')).attach,
    },
    {
      name: 'discover',
      summary: 'Show what refers to an image',
      load: async () => (await import('./artifact/discover.ts')).discover,
    },
    {
      name: 'copy',
      aliases: ['cp'],
      summary: 'Copy an artifact as it is, with what refers to it',
      load: async () => (await import('./artifact/copy.ts')).copy,
    },
    {
      name: 'tag',
      summary: 'Give an image or artifact more tags where it is',
      load: async () => (await import('./artifact/tag.ts')).tag,
    },
    {
      name: 'resolve',
      summary: 'Print the digest that a reference means now',
      load: async () => (await import('./artifact/tag.ts')).resolve,
    },
    {
      name: 'manifest',
      summary: 'Fetch, push and delete manifests as they are',
      load: async () => (await import('./artifact/manifest.ts')).manifest,
    },
    {
      name: 'blob',
      summary: 'Fetch, push and delete blobs of a registry',
      load: async () => (await import('./artifact/blob.ts')).blob,
    },
    {
      name: 'repo',
      summary: 'List the repositories of a registry, and their tags',
      load: async () => (await import('./artifact/repo.ts')).repo,
    },
    {
      name: 'backup',
      summary: 'Save tags of a repository in an OCI layout or an archive',
      load: async () => (await import('./artifact/backup.ts')).backup,
    },
    {
      name: 'restore',
      summary: 'Put the tags of a backup into a repository',
      load: async () => (await import('./artifact/backup.ts')).restore,
    },
    {
      name: 'login',
      summary: 'Log in to a registry',
      load: async () => adopt((await import('../skopeo/login.ts')).loginCommand, NAMES),
    },
    {
      name: 'logout',
      summary: 'Log out of a registry',
      load: async () => adopt((await import('../skopeo/login.ts')).logoutCommand, NAMES),
    },
  ],
};
