"""Pages in other languages for the sample pool, from small grammars of their own."""

from __future__ import annotations

import random
from collections.abc import Mapping

from dclm.pool.sample_english import Block
from dclm.pool.sample_grammar import Speaker, phrases

_SPANISH = {
    "S": """
En {lugar} vive {persona} que cada {momento} {verbo} con mucha paciencia.
Cuando llega {estacion}, {persona} {verbo} y después {verbo}.
La gente de {lugar} dice que {cosa} es más {adjetivo} que {cosa}.
No siempre fue así: hace {numero} años, {cosa} era todavía muy {adjetivo}.
Para {meta}, hay que {meta} sin prisa y con buena luz.
{persona} nos contó que {cosa} había cambiado por completo durante {estacion}.
Si quieres {meta}, pregunta en {lugar}, donde {persona} siempre {verbo}.
Aunque {cosa} parece {adjetivo}, pocos visitantes se detienen a {meta}.
""",
    "T": "Una visita a {lugar}; El secreto de {cosa}; Cómo {meta}; Historias de {lugar}",
    "lugar": "el valle; la plaza vieja; Sevilla; la costa norte; el pueblo de mi abuela; la estación de tren; los Andes",
    "persona": "una maestra jubilada; un pescador; mi tía Carmen; el panadero; una joven bióloga; el alcalde",
    "verbo": "abre la ventana; prepara el desayuno; escribe una carta; riega las plantas; cuenta la misma historia; arregla las redes",
    "momento": "mañana; tarde; domingo; semana",
    "estacion": "el invierno; la primavera; el verano; la lluvia; la fiesta mayor",
    "cosa": "el mercado; la iglesia; el pan de centeno; la música del barrio; el río; el camino antiguo",
    "adjetivo": "importante; difícil de explicar; valioso; tranquilo; conocido",
    "meta": "entender la historia; aprender el oficio; cuidar el jardín; encontrar un buen libro; probar la sopa",
    "numero": "diez; veinte; cien; cuarenta",
}  # fmt: skip

_GERMAN = {
    "S": """
In {ort} gibt es {sache}, die jeden {tag} viele Besucher anzieht.
{person} erzählte uns, dass {sache} früher ganz anders ausgesehen hat.
Wer {ziel} möchte, sollte zuerst mit {person3} sprechen und etwas Geduld mitbringen.
Obwohl es am {tag} regnete, wollte {person} unbedingt {ziel}.
Vor {zahl} Jahren wurde in {ort} beschlossen, {sache} gründlich zu erneuern.
Es ist nicht leicht, in {ort} {ziel} zu wollen, wenn der Winter früh beginnt.
Am {tag} trifft sich {person} mit {person3}, um über {sache} zu reden.
Manche Leute glauben, dass man in {ort} am besten {ziel} kann.
""",
    "T": "Ein Besuch in {ort}; Warum wir {ziel}; Die Geschichte von {ort}",
    "ort": "der Altstadt; Lübeck; den Bergen; einem kleinen Dorf; der Nähe des Hafens; Oberschwaben",
    "sache": "eine alte Mühle; die neue Bibliothek; eine kleine Brauerei; die hölzerne Brücke; die Werkstatt am Fluss",
    "person": "der Bürgermeister; meine Großmutter; eine Lehrerin; der Förster; unsere Nachbarin",
    "person3": "dem Bäcker; einer Gärtnerin; den Handwerkern; dem Küster; seiner Schwester",
    "ziel": "die Kirche besichtigen; gutes Brot backen; den Garten pflegen; alte Bücher sammeln; das Handwerk lernen",
    "tag": "Montag; Sonntag; Freitag; Abend; Morgen",
    "zahl": "zwanzig; dreißig; hundert; fünf",
}  # fmt: skip

_FRENCH = {
    "S": """
À {lieu}, {personne} {verbe} depuis plus de {nombre} ans.
On raconte que {chose} était autrefois bien plus {adjectif} qu'aujourd'hui.
Pour {but}, il faut d'abord {but}, ce qui demande du temps et de l'attention.
Chaque {jour}, {personne} {verbe}, puis {verbe} avant la nuit.
Bien que {chose} soit {adjectif}, les habitants préfèrent {but}.
C'est à {lieu} que {personne} nous a montré comment {but}.
Il y a {nombre} ans, personne ne pensait que {chose} deviendrait si {adjectif}.
""",
    "T": "Une promenade à {lieu}; Comment {but}; La mémoire de {lieu}",
    "lieu": "Lyon; Saint-Malo; la campagne; Dijon; la montagne; Arles",
    "personne": "une vieille boulangère; le facteur; mon oncle; la bibliothécaire; un jeune menuisier",
    "verbe": "ouvre son atelier; répare des horloges; prépare le marché; lit le journal; soigne les abeilles",
    "chose": "le moulin; le vieux pont; le jardin public; le théâtre; le quartier du port",
    "adjectif": "calme; célèbre; rare; utile; difficile",
    "but": "comprendre cette histoire; apprendre le métier; goûter le fromage; visiter le musée; planter des pommiers",
    "nombre": "dix; vingt; trente; cinquante",
    "jour": "matin; dimanche; soir; semaine",
}  # fmt: skip

_RUSSIAN = {
    "S": """
В {место} живёт {человек}, который каждый день {действие}.
Когда наступает {время}, {человек} {действие} и потом долго {действие}.
Люди в {место} говорят, что {вещь} появился здесь более {число} лет назад.
Если вы хотите {цель}, лучше всего приехать сюда, когда закончится {время}.
Раньше {вещь} выглядел совсем иначе, но {человек} хорошо его помнит.
Чтобы {цель}, нужно много терпения и немного удачи.
Мой друг рассказал, что {человек} однажды решил {цель}, и это изменило его жизнь.
""",
    "T": "Поездка в старый город; Как {цель}; История одного дома",
    "место": "маленьком городе; нашей деревне; старом доме у реки; Новгороде; северном посёлке",
    "человек": "старый учитель; молодой врач; сосед; художник; лесник",
    "действие": "кормит птиц; пишет письма; чинит часы; читает газеты; гуляет у реки",
    "время": "зима; весна; осень; долгая ночь; праздник",
    "вещь": "рынок; мост; деревянный театр; вокзал; музей",
    "цель": "понять историю города; научиться этому ремеслу; увидеть настоящий лес; испечь хороший хлеб",
    "число": "двадцати; ста; пятидесяти; тридцати",
}  # fmt: skip

_CHINESE = {
    "S": """
{时间}，{人物}在{地点}{动作}，然后慢慢地走回家。
很多人认为{东西}非常重要，因为它让{地点}变得更加{形容}。
如果你想{目标}，就应该先去{地点}看一看，再和{人物}谈一谈。
虽然{东西}看起来很{形容}，但是{人物}仍然每天{动作}。
{数字}年以前，{地点}还没有{东西}，生活也没有现在这样{形容}。
{人物}告诉我们，要{目标}并不容易，需要耐心和时间。
到了{时间}，{地点}总是很{形容}，{人物}喜欢在那里{动作}。
""",
    "T": "{地点}的故事; 怎样才能{目标}; {人物}和{东西}",
    "时间": "春天的早晨; 下雨的时候; 每个星期天; 去年冬天; 太阳落山以后",
    "人物": "一位老教师; 我的邻居; 年轻的医生; 卖茶的老人; 几个学生",
    "地点": "河边的小镇; 旧图书馆; 山里的村子; 火车站旁边的市场; 南方的海岸",
    "动作": "写信; 读书; 修理自行车; 给花浇水; 讲过去的故事",
    "东西": "那座石桥; 新的学校; 传统的手工艺; 这条铁路; 公共花园",
    "形容": "安静; 热闹; 有趣; 方便; 漂亮",
    "目标": "了解当地的历史; 学习做面条; 保护这片森林; 找到好的工作",
    "数字": "十; 二十; 五十; 一百",
}  # fmt: skip

_ITALIAN = {
    "S": """
A {luogo} c'è {persona} che ogni {giorno} {verbo} davanti alla porta.
Quando arriva {stagione}, {persona} {verbo} e poi {verbo} fino a tardi.
Molti pensano che {cosa} sia più {aggettivo} di quanto sembri.
Per {scopo} bisogna avere pazienza, perché {cosa} non è sempre {aggettivo}.
Mia nonna diceva che {cosa} era nata almeno {numero} anni fa.
Se volete {scopo}, chiedete a {luogo}: lì {persona} vi aiuterà volentieri.
""",
    "T": "Una giornata a {luogo}; Come {scopo}; La storia di {luogo}",
    "luogo": "Bologna; Lecce; un paese di montagna; Trieste; casa di amici",
    "persona": "una sarta; il fornaio; un vecchio marinaio; la maestra; mio zio Aldo",
    "verbo": "prepara il caffè; aggiusta le biciclette; racconta una storia; taglia il legno; legge il giornale",
    "giorno": "mattina; sera; domenica; settimana",
    "stagione": "l'inverno; la primavera; la vendemmia; il caldo",
    "cosa": "la piazza; la ricetta; la vecchia fontana; la biblioteca; la strada del porto",
    "aggettivo": "bella; famosa; difficile da capire; preziosa; tranquilla",
    "scopo": "imparare il mestiere; cucinare bene; visitare il museo; capire questa città; curare l'orto",
    "numero": "venti; cento; trenta; dieci",
}  # fmt: skip

_RULES: dict[str, Mapping[str, str]] = {
    "es": _SPANISH, "de": _GERMAN, "fr": _FRENCH, "ru": _RUSSIAN, "zh": _CHINESE, "it": _ITALIAN,
}  # fmt: skip
_LEXICA = {code: {name: phrases(text) for name, text in rules.items()} for code, rules in _RULES.items()}

LANGUAGES: tuple[str, ...] = tuple(sorted(_RULES))
"""ISO 639-1 codes of the languages other than English."""
SINGLE_BYTE = {
    "es": "windows-1252",
    "de": "windows-1252",
    "fr": "windows-1252",
    "it": "iso-8859-1",
    "ru": "windows-1251",
}
"""The charset that an old page in each language would have had."""


def foreign_page(rng: random.Random, language: str) -> list[Block]:
    """A page in one of `LANGUAGES`: a title and some paragraphs."""
    speaker = Speaker(rng, _LEXICA[language])
    join = "" if language == "zh" else " "
    blocks = [Block("h1", speaker.say("T"))]
    for _ in range(rng.randint(4, 9)):
        blocks.append(Block("p", join.join(speaker.say("S") for _ in range(rng.randint(2, 5)))))
    return blocks
