/** Collects words while text is added; only unquoted spaces split. */
export class WordList {
  readonly words: string[] = [];
  #word = '';

  add(text: string): void {
    for (const char of text) {
      if (/\s/u.test(char)) this.#flush();
      else this.#word += char;
    }
  }

  addRaw(text: string): void {
    this.#word += text;
  }

  #flush(): void {
    if (this.#word !== '') this.words.push(this.#word);
    this.#word = '';
  }

  finish(): string[] {
    this.#flush();
    return this.words;
  }
}
