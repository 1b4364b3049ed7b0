import { api, formToken, Problem, type ProblemBody, problemOf } from "../api";
import type { Upload, Wire } from "./transfer";

/** Parts and files go by XMLHttpRequest: fetch does not tell how much of a body has been sent. */
function put(url: string, body: Blob, sent: (bytes: number) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const isOurs = new URL(url, location.href).origin === location.origin;
    const stop = () => request.abort();
    request.open("PUT", url);
    // the store's own address says all that it wants to know, and is told nothing of ours
    if (isOurs) request.setRequestHeader("X-CSRF-Token", formToken());
    request.upload.onprogress = ({ loaded }) => sent(loaded);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) {
        sent(body.size);
        resolve();
      } else {
        const headers = { "Content-Type": request.getResponseHeader("Content-Type") ?? "" };
        const status = { status: request.status, statusText: request.statusText, headers };
        problemOf(new Response(request.responseText, status)).then(reject, reject);
      }
    };
    request.onerror = () => reject(cut());
    request.onabort = () => reject(signal.reason instanceof Error ? signal.reason : cut());
    request.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    request.send(body);
  });
}

function cut(): Problem {
  const body: ProblemBody = {
    type: "/problems/not-reached",
    title: "The connection broke",
    status: 0,
    detail: "The connection to the registry broke.",
  };
  return new Problem(body);
}

/** After so many seconds, or as soon as the browser says that it is connected again. */
function wait(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      window.clearTimeout(timer);
      window.removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason instanceof Error ? signal.reason : cut());
      else resolve();
    };
    const timer = window.setTimeout(end, seconds * 1000);
    window.addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}

export const wire: Wire = {
  put,
  wait,
  begin: (digest, size) => api<Upload>("POST", "/uploads", { digest, size }),
  // the same key each time: when the answer was lost, asking again finds that it was done
  complete: async (id) => void (await api("POST", `/uploads/${id}/complete`, {}, { key: `complete-${id}` })),
};
