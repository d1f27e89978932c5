import { BuildError } from '../error.ts';

/** `80`, `80/udp`, `8000-8010` as config keys: `80/tcp`. @throws BuildError `syntax` */
export function normalizePort(text: string): string {
  const slash = text.indexOf('/');
  const port = slash < 0 ? text : text.slice(0, slash);
  const protocol = slash < 0 || slash === text.length - 1 ? 'tcp' : text.slice(slash + 1);
  if (port === '' || /\s/.test(text)) throw new BuildError('syntax', `invalid containerPort: ${text}`);
  return `${port}/${protocol}`;
}
