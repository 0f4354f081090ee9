"""Known answers: what two releases, or two implementations, must agree on bit by bit.

The expected values come from the small implementation at the end of this file; it shares no code
with the package: AES, HKDF and X25519 from their definitions, JSON written by hand. It is anchored
in published vectors (FIPS 197, SP 800-38A, RFC 5869, RFC 7748, RFC 8032), and its results are
pinned so that neither side can drift.
"""

import hashlib
import hmac

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.canonical import canonical_json, fingerprint
from fedcausal_privacy.envelopes import Header, seal
from fedcausal_privacy.keys.identity import Identity, verify
from fedcausal_privacy.secure_sum.fixed_point import join_limbs, split_limbs, to_words
from fedcausal_privacy.secure_sum.manifest import Manifest, Party
from fedcausal_privacy.secure_sum.masks import MaskContext, add_mask, mask_words, pair_key
from fedcausal_privacy.secure_sum.pads import PadContext, open_seed
from fedcausal_privacy.secure_sum.roster import Roster, padded_roster_hash

CONTEXT = MaskContext(
    run_id="run-1", round=2, attempt=1, statistic="5a" * 32, roster_hash="c3" * 32
)
PRIVATE = [bytes([number]) * 32 for number in (17, 34, 51)]
BASE_POINT = bytes([9]) + bytes(31)
# RFC 8032, section 7.1, test 1.
PUBLISHED_KEY = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
ED25519_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
ED25519_OF_NOTHING = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
    "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)

PINNED = {
    "salt": "bc4b34039748a90f6c0fe78b0c6dd0d19decae837422b0df8556282c4997cb26",
    "pair key 0, 1": "95aedf4fd3a7e4b2dc1512bcbd5685964814db37ad42a6eed8bc885d631af2e1",
    "mask words": ["a5bcc3c49c0eeb2f", "e76c1f78edceffd7", "4d383aaad18d1798"],
    "masked": ["b481af622a89f00a", "6f8a27afe6e5af82", "6d0a74370a1374e3"],
    "limbs": [713682954, 3873812354, 169047267, 3028397922, 1871325103, 1829401655],
    "envelope": (
        "36a34ae78d21e9b6464577ab81a4d9deac63dd3736028da8cd5d2116a82c67b9"
        "0166f2c78be9e0937793cd06740df4670fd2e27a95f28f622a79d11e90002800"
    ),
    "manifest": "53320ca02aade56cc27b32e0f7b4126c18880820ecae73660806574cf2c11e1f",
    "roster": "240687d561b89766bdf16f6c826db996be152ea44218ff1295a3f8a89d865255",
    "two-steward manifest": "aa717b3da4b4873b7b1ca442f3b23b290252e93ebfc9f0954cba8e5cac4d4df3",
    "padded roster": "ac6d66e6e25398405be7d4b1ab4715dc99d50d0c930f15ef05e1a01751091634",
    "sealed seed": (
        "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13"
        "20855e9806f44a5916e20269190ca9ede442b3a07ce2c87b2616696ee6623e98"
        "785b50fd44074a0f14c8f7f8834c41cf"
    ),
}


def test_the_small_implementation_agrees_with_the_published_vectors():
    key = bytes(range(32))
    block = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert aes_256(key, block).hex() == "8ea2b7ca516745bfeafc49904b496089"  # FIPS 197, C.3
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = int("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 16)
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    cipher = bytes(a ^ b for a, b in zip(aes_256_ctr(key, 16, counter), plain, strict=True))
    assert cipher.hex() == "601ec313775789a5b7a7f504bbf3d228"  # SP 800-38A, F.5.5
    tag = aes_256_gcm(bytes(32), bytes(12), b"", b"")
    assert tag.hex() == "530f8afbc74536b9a963b4f1c4cb738b"  # GCM specification, test case 13
    sealed = aes_256_gcm(bytes(32), bytes(12), bytes(16), b"")
    assert sealed.hex() == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    derived = hkdf_sha256(bytes([0x0B] * 22), bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert derived.hex() == (  # RFC 5869, A.1
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert x25519(scalar, point).hex() == (  # RFC 7748, 5.2
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    )
    identity = Identity(
        private_key=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(PUBLISHED_KEY))
    )
    assert identity.public == ED25519_PUBLIC
    assert identity.sign(b"").hex() == ED25519_OF_NOTHING
    assert verify(ED25519_PUBLIC, b"", bytes.fromhex(ED25519_OF_NOTHING))


def test_the_salt_and_the_pair_key():
    text = f'["run-1",2,1,"{"5a" * 32}","{"c3" * 32}"]'
    assert CONTEXT.salt() == hashlib.sha256(text.encode()).digest()
    assert CONTEXT.salt().hex() == PINNED["salt"]
    expected = derived_pair_key(0, 1)
    assert package_pair_key(0, 1) == package_pair_key(1, 0) == expected
    assert expected.hex() == PINNED["pair key 0, 1"]


def test_mask_words_are_the_key_stream_little_endian():
    key = derived_pair_key(0, 1)
    stream = aes_256_ctr(key, 48, 0)
    for dtype, size in ((np.uint64, 8), (np.uint32, 4)):
        words = np.zeros(48 // size, dtype=dtype)
        mask_words(words, key, 1)
        expected = [int.from_bytes(stream[i : i + size], "little") for i in range(0, 48, size)]
        assert words.tolist() == expected
    assert [f"{word:016x}" for word in streamed(key, 3)] == PINNED["mask words"]


def test_a_sealed_seed_opens_for_its_context():
    ephemeral, recipient, seed = PRIVATE[0], PRIVATE[1], bytes(range(32))
    publics = [x25519(private, BASE_POINT) for private in (ephemeral, recipient)]
    shared = x25519(ephemeral, publics[1])
    key = hkdf_sha256(shared, b"".join(publics), b"fedcausal/pad-seed/v1", 32)
    text = f'["run-1","{"ef" * 32}","query.upload",2,"{"5a" * 32}","b"]'
    sealed = publics[0] + aes_256_gcm(key, bytes(12), seed, text.encode())
    context = PadContext(
        run_id="run-1",
        manifest="ef" * 32,
        kind="query.upload",
        round=2,
        statistic="5a" * 32,
        site="b",
    )
    private = X25519PrivateKey.from_private_bytes(recipient)
    assert open_seed(sealed, private, context) == seed
    assert sealed.hex() == PINNED["sealed seed"]


def test_the_middle_site_adds_one_mask_and_subtracts_the_other():
    publics = {other: x25519(PRIVATE[other], BASE_POINT) for other in (0, 2)}
    values = [-1, 2**62, 12345]
    masked = add_mask(
        to_words(np.array(values), 2),
        position=1,
        private=X25519PrivateKey.from_private_bytes(PRIVATE[1]),
        peers=publics,
        context=CONTEXT,
    )
    minus, plus = streamed(derived_pair_key(0, 1), 3), streamed(derived_pair_key(1, 2), 3)
    expected = [(v - m + p) % 2**64 for v, m, p in zip(values, minus, plus, strict=True)]
    assert masked.tolist() == expected
    assert [f"{word:016x}" for word in expected] == PINNED["masked"]
    limbs = [word % 2**32 for word in expected] + [word // 2**32 for word in expected]
    assert split_limbs(masked).tolist() == limbs == PINNED["limbs"]
    assert join_limbs(split_limbs(masked), 2).tolist() == [
        word - 2**64 if word >= 2**63 else word for word in expected
    ]


def test_canonical_json_is_sorted_tight_and_in_utf_8():
    value = {"b": [1, -2, 0.5, None, True], "a": {"é": 'say "no"\n'}}
    written = '{"a":{"é":"say \\"no\\"\\n"},"b":[1,-2,0.5,null,true]}'
    assert canonical_json(value) == written.encode("utf-8")


def test_the_signed_bytes_of_an_envelope():
    identity = Identity(
        private_key=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(PUBLISHED_KEY))
    )
    header = Header(kind="query.upload", run_id="run-1", sender="é", round=2, attempt=1, key="ab")
    payload = b"ciphertext"
    text = (
        '{"attempt":1,"he_sha256":"","key":"ab","kind":"query.upload","manifest":"",'
        f'"payload_sha256":"{hashlib.sha256(payload).hexdigest()}","roster_hash":"","round":2,'
        '"run_id":"run-1","sender":"é","statistic":""}'
    )
    envelope = seal(identity, header, payload)
    assert verify(ED25519_PUBLIC, b"fedcausal/envelope/v1\0" + text.encode(), envelope.signature)
    assert envelope.signature.hex() == PINNED["envelope"]
    assert canonical_json(envelope.to_json()) == (
        f'{{"header":{text},"signature":"{PINNED["envelope"]}"}}'.encode()
    )


def test_the_digest_of_a_manifest_and_of_a_roster():
    manifest, text = manifest_and_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert manifest.digest() == digest == PINNED["manifest"]
    keys = [bytes([number]) * 32 for number in (6, 7, 8)]
    roster = Roster(attempt=1, sites=("a", "b", "c"), keys=tuple(keys))
    text = (
        f'["{digest}",{{"attempt":1,"keys":["{"06" * 32}","{"07" * 32}","{"08" * 32}"],'
        '"sites":["a","b","c"]}]'
    )
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert roster.digest(manifest) == expected == PINNED["roster"]


def test_the_digest_of_a_two_steward_manifest_and_of_who_is_in_a_padded_sum():
    manifest, text = manifest_and_text(
        mode="two-steward",
        second_steward=Party(name="pads", identity="6" * 64),
        pad_key="7" * 64,
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert manifest.digest() == digest == PINNED["two-steward manifest"]
    entries = [("a", "8" * 64, "9" * 64), ("c", "a" * 64, "b" * 64)]
    listed = ",".join(f'["{a}","{b}","{c}"]' for a, b, c in entries)
    text = f'["{digest}",2,"{"5a" * 32}",[{listed}]]'
    expected = hashlib.sha256(text.encode()).hexdigest()
    found = padded_roster_hash(manifest, round=2, statistic="5a" * 32, entries=entries)
    assert found == expected == PINNED["padded roster"]


def manifest_and_text(*, mode="masked", second_steward=None, pad_key=""):
    """A manifest, and its canonical JSON written by hand."""
    parties = [("a", "1" * 64, "v1"), ("b", "2" * 64, ""), ("c", "3" * 64, "v2")]
    manifest = Manifest(
        run_id="run-1",
        study_hash="0" * 64,
        roster=tuple(
            Party(name=name, identity=key, data_version=version) for name, key, version in parties
        ),
        steward=Party(name="keys", identity="4" * 64),
        he_sha256="5" * 64,
        mode=mode,
        second_steward=second_steward,
        pad_key=pad_key,
    )
    sites = ",".join(f'["{name}","{key}","{version}"]' for name, key, version in parties)
    second = "null" if second_steward is None else f'["pads","{"6" * 64}",""]'
    text = (
        f'{{"he_sha256":"{"5" * 64}","k_min":3,"mode":"{mode}","pad_key":"{pad_key}",'
        f'"roster":[{sites}],"run_id":"run-1","second_steward":{second},'
        f'"secure_aggregation":true,"steward":["keys","{"4" * 64}",""],'
        f'"study_hash":"{"0" * 64}"}}'
    )
    return manifest, text


def test_a_fingerprint_is_the_hash_of_the_key_in_eight_groups():
    identity = Identity(
        private_key=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(PUBLISHED_KEY))
    )
    digest = hashlib.sha256(bytes.fromhex(ED25519_PUBLIC)).hexdigest()
    groups = [digest[4 * i : 4 * i + 4] for i in range(8)]
    assert identity.fingerprint() == fingerprint(digest) == "-".join(groups)


def package_pair_key(own, other):
    private = X25519PrivateKey.from_private_bytes(PRIVATE[own])
    return pair_key(private, x25519(PRIVATE[other], BASE_POINT), CONTEXT, (own, other))


def derived_pair_key(one, other):
    shared = x25519(PRIVATE[one], x25519(PRIVATE[other], BASE_POINT))
    info = b"fedcausal/mask/v1" + one.to_bytes(4, "big") + other.to_bytes(4, "big")
    return hkdf_sha256(shared, CONTEXT.salt(), info, 32)


def streamed(key, count):
    stream = aes_256_ctr(key, 8 * count, 0)
    return [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(count)]


def hkdf_sha256(secret, salt, info, length):
    extracted = hmac.digest(salt, secret, "sha256")
    block = output = b""
    while len(output) < length:
        block = hmac.digest(extracted, block + info + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:length]


def x25519(scalar, point):
    """RFC 7748, section 5: the Montgomery ladder."""
    p = 2**255 - 19
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    x1 = int.from_bytes(point, "little") & ((1 << 255) - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    for bit in reversed(range(255)):
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        x3, z3 = (d * a + c * b) ** 2 % p, x1 * (d * a - c * b) ** 2 % p
        e = (a * a - b * b) % p
        x2, z2 = a * a * b * b % p, e * (a * a + 121665 * e) % p
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


def aes_256_ctr(key, length, counter):
    blocks = (aes_256(key, (counter + i).to_bytes(16, "big")) for i in range(-(-length // 16)))
    return b"".join(blocks)[:length]


def aes_256_gcm(key, nonce, plain, known):
    """SP 800-38D with a nonce of 12 bytes: cipher text, then the tag."""
    first = int.from_bytes(nonce + bytes([0, 0, 0, 1]), "big")
    stream = aes_256_ctr(key, len(plain), first + 1)
    cipher = bytes(a ^ b for a, b in zip(plain, stream, strict=True))
    blocks = padded(known) + padded(cipher)
    blocks += (8 * len(known)).to_bytes(8, "big") + (8 * len(cipher)).to_bytes(8, "big")
    secret, total = int.from_bytes(aes_256(key, bytes(16)), "big"), 0
    for i in range(0, len(blocks), 16):
        total = ghash_product(total ^ int.from_bytes(blocks[i : i + 16], "big"), secret)
    hidden = int.from_bytes(aes_256(key, first.to_bytes(16, "big")), "big")
    return cipher + (total ^ hidden).to_bytes(16, "big")


def padded(content):
    return content + bytes(-len(content) % 16)


def ghash_product(a, b):
    """SP 800-38D, section 6.3: bits are counted from the left."""
    result = 0
    for bit in reversed(range(128)):
        result ^= b if a >> bit & 1 else 0
        b = b >> 1 ^ (0xE1 << 120 if b & 1 else 0)
    return result


def doubled(a):
    return (a << 1) ^ (0x11B if a & 0x80 else 0)


def product(a, b):
    result = 0
    while b:
        result ^= a if b & 1 else 0
        a, b = doubled(a), b >> 1
    return result


def substitution():
    """FIPS 197, section 5.1.1: the inverse in GF(2^8), then an affine map over GF(2)."""
    table = []
    for value in range(256):
        inverse = next((i for i in range(256) if product(value, i) == 1), 0)
        turns = [(inverse << n | inverse >> 8 - n) & 255 for n in range(5)]
        table.append(turns[0] ^ turns[1] ^ turns[2] ^ turns[3] ^ turns[4] ^ 0x63)
    return table


S_BOX = substitution()


def aes_256(key, block):
    """FIPS 197: 14 rounds on 16 bytes in column order."""
    words = [list(key[4 * i : 4 * i + 4]) for i in range(8)]
    constant = 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = [S_BOX[b] for b in word[1:] + word[:1]]
            word[0] ^= constant
            constant = doubled(constant)
        elif i % 8 == 4:
            word = [S_BOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[-8], word, strict=True)])
    keys = [[b for word in words[4 * i : 4 * i + 4] for b in word] for i in range(15)]
    state = [a ^ b for a, b in zip(block, keys[0], strict=True)]
    for number in range(1, 15):
        state = [S_BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 14:
            state = [
                doubled(state[i])
                ^ doubled(state[i - i % 4 + (i + 1) % 4])
                ^ state[i - i % 4 + (i + 1) % 4]
                ^ state[i - i % 4 + (i + 2) % 4]
                ^ state[i - i % 4 + (i + 3) % 4]
                for i in range(16)
            ]
        state = [a ^ b for a, b in zip(state, keys[number], strict=True)]
    return bytes(state)
