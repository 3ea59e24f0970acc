// The two globals outside ECMAScript that every JavaScript runtime has and this package uses. Nothing else may be added.
declare class TextEncoder {
  encode(text: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: 'utf-8', options?: { fatal?: boolean });
  decode(bytes: Uint8Array): string;
}
