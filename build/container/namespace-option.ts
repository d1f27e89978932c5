import type { NamespaceOption } from './contract.ts';

/**
 * What `--network`, `--pid`, `--ipc`, `--uts` and `--cgroupns` say as the state of a container has it: `host`, a namespace
 * of its own (`private`, `container`, empty, and a network's `none`), or a path, which `ns:` may stand before. Of a
 * network anything else names networks.
 */
export function namespaceOption(kind: string, text: string): NamespaceOption {
  if (text === 'host') return { Name: kind, Host: true, Path: '' };
  const isOwn = ['', 'container', 'private'].includes(text) || (kind === 'network' && text === 'none');
  return { Name: kind, Host: false, Path: isOwn ? '' : text.replace(/^ns:/, '') };
}

/** Whether containers have a network by what `--network` says. */
export function networkChoice(text: string): 'disabled' | 'enabled' {
  return text === 'none' ? 'disabled' : 'enabled';
}
