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

/**
 * A chunk loads another where it first uses something of it. One that it only has to run after is not loaded: modules do
 * nothing but make what they export.
 */
async function toBody(text: string, known: ReadonlySet<string>): Promise<string> {
  const ours = (name: string) => {
    if (!known.has(name)) throw new Error(`a chunk imports ${name}, which is none`);
    return JSON.stringify(name);
  };
  const linked = text
    .replace(/\bimport"(\.\/[^"/]+)";/g, (_all, name: string) => ours(name) && '')
    .replace(/\bimport\("(\.\/[^"/]+)"\)/g, (_all, name: string) => `__import(${ours(name)})`);
  // Behind the export stand the licences of packages.
  const [, body = linked, list = '', commonJs, licences = ''] =
    /^(.*)\bexport(?:\{([^{}]*)\}| default (\w+\(\)));\s*((?:\/\*.*\*\/\s*)*)$/s.exec(linked) ?? [];
  // As Node shows a CommonJS package to `import()`: what it exports by name, and all of it as the default.
  const exported = commonJs ? `...${commonJs},default:${commonJs}` : properties(list);
  const { code } = await transform(`${body};__return({${exported}});`, {
    format: 'cjs',
    target: 'node24',
    minifyWhitespace: true,
  });
  if (code.includes('__toCommonJS(')) throw new Error('a chunk exports something that was not understood');
  const returning = code.replace(/^"use strict";/, '').replace(/__return\((.*)\);\s*$/s, 'return$1');
  return lazyChunks(returning.trim(), ours) + licences;
}

/** esbuild reads the bindings of a module where they are used: `import_X.name`. */
function lazyChunks(code: string, ours: (name: string) => string): string {
  const names = new Map<string, string>();
  const body = code.replace(/\bvar (import_\w+)=require\("(\.\/[^"/]+)"\);/g, (_all, variable, name) => {
    names.set(variable, ours(name));
    return '';
  });
  const used = body.replace(/\bimport_\w+(?=\.)/g, (variable) =>
    names.has(variable) ? `(${variable}??=__load(${names.get(variable)}))` : variable,
  );
  if (used.includes('require("./'))
    throw new Error('a chunk imports another in a way that was not understood');
  if (names.size === 0) return body;
  return `let ${[...names.keys()].join()};${used}`;
}

/** `a as b` of an export is `b:a` of an object. */
function properties(list: string): string {
  const names = list.split(',').filter((one) => one !== '');
  return names
    .map((one) => {
      const [name = '', other = name] = one.trim().split(/\s+as\s+/);
      return `${other}:${name}`;
    })
    .join(',');
}
