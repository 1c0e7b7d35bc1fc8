// Hold objects of the Gateway API against validators generated from its Go types.
//
// Reads [[source, object], ...] as JSON and prints what does not fit. Run by check_deploy.py with
// the folder of the npm package as its argument. The validators pass over what they do not know,
// so a field that none of them has read is a fault.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const GROUP = "gateway.networking.k8s.io/";
const schemas = join(process.argv[2], "node_modules/@kubernetes-models/gateway-api/_schemas");

/** The validator of a kind; an error where the API has no such kind. */
async function validator(object) {
  const version = object.apiVersion.slice(GROUP.length);
  const name = `IoK8sSigsGatewayApiApis${version[0].toUpperCase()}${version.slice(1)}${object.kind}.js`;
  return (await import(pathToFileURL(join(schemas, name)))).validate;
}

/** A value that notes the paths of what is read of it. */
function noting(value, path, read) {
  if (value === null || typeof value !== "object") return value;
  return new Proxy(value, {
    get(target, key) {
      if (!Object.hasOwn(target, key)) return target[key];
      const below = `${path}.${String(key)}`;
      read.add(below);
      return noting(target[key], below, read);
    },
  });
}

/** Paths of what was not read; below such a path there is nothing more to say. */
function unread(value, path, read) {
  if (value === null || typeof value !== "object") return [];
  return Object.keys(value).flatMap((key) => {
    const below = `${path}.${key}`;
    return read.has(below) ? unread(value[key], below, read) : [`${below}: no such field`];
  });
}

async function faults(object) {
  const read = new Set();
  const validate = await validator(object);
  if (validate(noting(object, "", read))) return unread(object, "", read);
  return validate.errors.map(
    (error) => `${error.instancePath.replaceAll("/", ".")}: ${error.keyword} ${JSON.stringify(error.params)}`,
  );
}

let found = 0;
for (const [source, object] of JSON.parse(readFileSync(0, "utf-8"))) {
  for (const fault of await faults(object)) {
    found += 1;
    console.log(`${source}: ${object.kind} ${object.metadata.name}${fault}`);
  }
}
process.exitCode = found ? 1 : 0;
