// Joins the chunks that esbuild makes of a tool to one file.
//
// One large file is found and read faster than a hundred small ones, and a chunk that is a function costs a run nothing
// until it is called: its functions are not made, and V8's code cache holds no more of them than their place.
import { transform } from 'esbuild';

/** A chunk as esbuild writes it with `minifyWhitespace`: one statement for each import, one export at the end. */
export interface Chunk {
  /** As other chunks import it. */
  readonly name: string;
  readonly text: string;
}

const LOADER = `const __chunks={__proto__:null},__load=name=>{const chunk=__chunks[name];if(typeof chunk!=="function")return chunk;__chunks[name]=void 0;return __chunks[name]=chunk()},__import=async name=>__load(name);`;

/** The body of a function that has `exports` and `require`: it loads the chunk called `entry`. */
export async function joinChunks(chunks: readonly Chunk[], entry: string): Promise<string> {
  const known = new Set(chunks.map(({ name }) => name));
  const bodies = await Promise.all(
    chunks.map(
      async ({ name, text }) => `__chunks[${JSON.stringify(name)}]=()=>{${await toBody(text, known)}};`,
    ),
  );
  return `${LOADER}\n${bodies.join('\n')}\nObject.assign(exports,__load(${JSON.stringify(entry)}));`;
}

/** The bindings of chunks never change after their chunk has run, so that they can be copied. */
async function toBody(text: string, known: ReadonlySet<string>): Promise<string> {
  const ours = (name: string) => {
    if (!known.has(name)) throw new Error(`a chunk imports ${name}, which is none`);
    return JSON.stringify(name);
  };
  const linked = text
    .replace(
      /\bimport(?:\{([^{}]*)\}from)?"(\.\/[^"/]+)";/g,
      (_all, list: string | undefined, name: string) =>
        list === undefined ? `__load(${ours(name)});` : `const{${pairs(list)}}=__load(${ours(name)});`,
    )
    .replace(/\bimport\("(\.\/[^"/]+)"\)/g, (_all, name: string) => `__import(${ours(name)})`);
  // Behind the export stand the licences of packages.
  const [, body = linked, list = '', commonJs, licences = ''] =
    /^(.*)\bexport(?:\{([^{}]*)\}| default (\w+\(\)));\s*((?:\/\*.*\*\/\s*)*)$/s.exec(linked) ?? [];
  // As Node shows a CommonJS package to `import()`: what it exports by name, and all of it as the default.
  const exported = commonJs ? `...${commonJs},default:${commonJs}` : pairs(list, true);
  const { code } = await transform(body, { format: 'cjs', target: 'node24', minifyWhitespace: true });
  if (code.includes('__toCommonJS(')) throw new Error('a chunk exports something that was not understood');
  return `${code.replace(/^"use strict";/, '').trim()};return{${exported}}${licences}`;
}

/** `a as b` of an import is `a:b` of a pattern, and of an export `b:a` of an object. */
function pairs(list: string, isExport = false): string {
  const names = list.split(',').filter((one) => one !== '');
  return names
    .map((one) => {
      const [name = '', other = name] = one.trim().split(/\s+as\s+/);
      return isExport ? `${other}:${name}` : `${name}:${other}`;
    })
    .join(',');
}
