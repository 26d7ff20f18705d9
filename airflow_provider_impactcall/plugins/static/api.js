// Requests to the server. Addresses are relative: a deployment may have a base path.

/**
 * A request that failed, or was refused.
 * @property status of HTTP; 0 if no answer came
 */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

function address(path, parameters) {
  const url = new URL(`api/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) {
      if (each !== null && each !== undefined && each !== "") url.searchParams.append(name, each);
    }
  }
  return url;
}

async function detailOf(answer) {
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : "";
  } catch {
    return "";
  }
}

/**
 * Ask for JSON.
 * @param parameters by name; a list repeats its name, and empty values are left out
 * @throws Refused
 */
export async function ask(path, parameters, signal) {
  let answer;
  try {
    answer = await fetch(address(path, parameters), {
      signal,
      headers: { Accept: "application/json" },
      cache: "no-store",
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refused(0, "Airflow does not answer. Is the network up?");
  }
  if (!answer.ok) throw new Refused(answer.status, (await detailOf(answer)) || `Airflow answered ${answer.status}.`);
  return answer.json();
}

/** The address of the same data as CSV. */
export function csv(path, parameters) {
  return address(`${path}.csv`, parameters).href;
}
