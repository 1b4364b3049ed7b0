/**
 * What the registry knows of files, sent by it with the page: its own lists and limits, so that what is checked here before
 * anything is sent is never stricter than its verdict afterwards.
 */
export interface Rules {
  /** Bytes of an element, by dtype. */
  dtypes: Record<string, number>;
  configKeys: string[];
  peftTypes: string[];
  largestHeaderBytes: number;
  largestConfigBytes: number;
  largestFileBytes: number;
  mostTensors: number;
  mostFiles: number;
}

/** Why a file, or a set of files, will be refused; the message is for the person who chose it. */
export class Fault extends Error {}
