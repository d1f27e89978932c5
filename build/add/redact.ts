/** A text without the user names and passwords of URLs. */
export function redact(text: string): string {
  return text.replaceAll(/([a-z+]+:\/\/)[^/@\s]*@/g, '$1');
}
