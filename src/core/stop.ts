/** Stops that lanes, requests and timers wait for, however many there are: it is no leak, and nobody is warned. */
import { setMaxListeners } from 'node:events';

export function newStop(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** For work that nothing stops. */
export const NEVER: AbortSignal = newStop().signal;
