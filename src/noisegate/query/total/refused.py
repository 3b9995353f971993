"""Functions that are refused for a reason of their own; all others that have no row are refused without one."""

from __future__ import annotations

from noisegate.errors import NoisegateError, Unsupported

_TAGS = frozenset(
    "md5 sha224 sha256 sha384 sha512 digest hmac crypt hashtext hashtextextended hashint2 hashint4 hashint8 "
    "hashint4extended hashint8extended hashnumeric hashfloat4 hashfloat8 hashchar hashbpchar hash_array hash_record "
    "jsonb_hash uuid_hash hashbytea encode crc32 crc32c".split()
)
_SETS = frozenset(
    "unnest generate_series regexp_split_to_table regexp_matches string_to_table jsonb_array_elements "
    "jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys json_array_elements json_each "
    "json_object_keys generate_subscripts".split()
)
_ROWS = frozenset("row_to_json to_json to_jsonb json_build_object jsonb_build_object json_build_array "
                  "jsonb_build_array record_out hstore".split())  # fmt: skip
_VOLATILE = frozenset("random setseed gen_random_uuid clock_timestamp timeofday nextval txid_current pg_sleep "
                      "random_normal uuidv4 uuidv7".split())  # fmt: skip


def reason(name: str) -> NoisegateError:
    """Why `name` does not see private rows."""
    if name == "similar_to_escape":
        return Unsupported("the pattern of SIMILAR TO must be a constant on private rows", name="similar")
    about = f"function {name} is not supported on private rows"
    if name in _TAGS:
        return Unsupported(
            about,
            name=name,
            detail="A hash of a person's value is a tag of that person.",
            hint="Group by the value itself, or count(DISTINCT ...) it.",
        )
    if name in _SETS:
        return Unsupported(about, name=name, detail="It makes several rows of one, without a known limit.")
    if name in _ROWS:
        return Unsupported(about, name=name, detail="It packs a person's row into one value.")
    if name in _VOLATILE:
        return Unsupported(about, name=name, detail="Its value is another one each time.")
    return Unsupported(about, name=name, hint="docs/sql.md lists the functions that are.")
