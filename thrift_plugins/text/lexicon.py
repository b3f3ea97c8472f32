# ruff: noqa: RUF001 - letters of other alphabets are the point
"""Words and phrases that tell what a prompt asks for, in the languages that most prompts are written in.

English, Chinese, Japanese, Korean, German, French, Spanish, Portuguese, Italian, Russian, Arabic, Hindi. Written for this
package from general knowledge of the languages; nothing here was fitted to data.

`WORDS` match whole words of scripts with spaces. An entry that ends in `*` matches every word that starts with its six
letters, for languages that inflect. `SPACED_PHRASES` match inside lower-case text of scripts with spaces, and
`UNSPACED_PHRASES` inside text that has letters of another script, where words have no edges or carry particles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import TypeAlias

from thrift_plugins.text.scripts import WORD


class Sign(IntEnum):
    """What a word is a sign of."""

    QUESTION = 0
    QUANTITY = 1
    EXPLAIN = 2
    REASON = 3
    STEPS = 4
    MATHS = 5
    CODE = 6
    TECHNICAL = 7
    EXPERT = 8
    CHOICE = 9
    CONSTRAINT = 10
    NEGATION = 11
    LENGTHY = 12
    NUMBER = 13
    COMMON = 14
    STRANGE = 15
    WRITE = 16


_WORDS: Mapping[Sign, str] = MappingProxyType({
    Sign.QUESTION: """
        what who whom whose where when which how can could would is are do does did
        was wer wo wann welche welcher welches wie qui que quoi où quand quel quelle quels quelles est
        qué quién quiénes dónde cuándo cuál cuáles cómo quem onde quando qual quais como chi dove quale come cosa
        что кто где когда какой какая какое какие как
        ما من أين متى أي هل كيف ماذا क्या कौन कहाँ कब कैसे किस""",
    Sign.QUANTITY: """
        wieviel wieviele combien cuánto cuánta cuántos cuántas quanto quanta quantos quantas quanti quante
        сколько كم कितने कितना कितनी""",
    Sign.EXPLAIN: """
        why explai* descri* discus* compar* differ* pros cons versus vs
        warum weshalb wieso erklär* beschr* vergle* unters* pourquoi expliq* décriv* compare différ*
        explic* compár* compar* difere* porquê perché spiega confro*
        почему зачем объясн* опишит* сравни* разниц* отлича* لماذا اشرح قارن الفرق صف क्यों समझाइए समझाओ तुलना अंतर वर्णन""",
    Sign.REASON: """
        prove proof proofs derive derivation analyze analyse analysis evalua* assess critiq* justif* optimi* archit* strate*
        tradeoff tradeoffs design diagno* infer deduce refact* hypoth* implic* reconc* synthe* troubl*
        beweis* beweise beweisen analys* bewert* begrün* entwir* entwer* entwurf herlei* strate* abwäge*
        prouve prouver prouvez démont* analys* évalue* justif* conçois concev* concevoir conception optimi* straté* raison*
        demues* demost* demuestra analiz* analic* analis* análisis análise evalúa* avalie avaliar justif* diseña* diseñe diseño
        projete projetar prove provar demons* razona* racioc* estrat* dimost* analiz* valuta* proget*
        докажи* доказа* проана* анализ* оцени оцените оценка обосну* спроек* разраб* выведи выведите страте*
        أثبت برهن حلل تحليل قيّم صمم تصميم استراتيجية برر सिद्ध साबित विश्लेषण मूल्यांकन डिज़ाइन डिजाइन रणनीति तर्क""",
    Sign.STEPS: """
        first second then next finally afterw* subseq* therea* meanwhile step steps
        zuerst dann danach anschl* schlie* schritt schritte ensuite puis enfin étape étapes primero luego después finalm* paso pasos
        primeiro depois passo passos prima poi infine passo сначала затем потом наконец шаг шаги шагам
        أولا أولاً ثم ثانيا أخيرا أخيراً خطوة خطوات पहले फिर बाद अंत चरण कदम""",
    Sign.MATHS: """
        calcul* comput* equati* integral integrals deriva* probab* theorem theorems matrix matrices algebra polyno* solve
        percent percentage fracti* factorial factorise factorize logari* permut* combinatorics modulo vector vectors eigenv* variance median sqrt lim
        geomet* trigon* quadra* converge converges convergence convergent diverg* average ratio perime* circum* radius triang* rectan* velocity accele*
        twice thrice half double triple dozen total sum
        berech* gleich* wahrsc* ableit* bruch prozent rechne löse lösen matrix durchs* summe
        calcule calculez équati* intégr* probab* dérivé* matrice résoud* résous pourcentage somme moyenne racine
        calcul* ecuaci* equaçã* deriva* matriz resuelve resolv* porcentaje porcen* promedio média suma soma raíz raiz
        calcol* equazi* risolv* somma
        вычисл* рассчи* уравне* интегр* вероят* произв* теорем* матриц* решите реши процен* сумма сумму среднее корень
        احسب معادلة احتمال تكامل مشتقة نظرية مصفوفة مجموع النسبة جذر गणना समीकरण प्रायिकता हल प्रमेय योग प्रतिशत औसत""",
    Sign.CODE: """
        python javasc* typesc* java rust golang kotlin swift sql regex regexp html css bash numpy pandas django react
        debug compile compiler stackt* traceb* segfault nullpo* refact* unittest pytest git github docker kubern* dockerfile
        code coding codes program programming progra* script algori* recursion recurs* leetcode api endpoint
        quellcode programmiere algorithmus programme programmer código codigo programa programar algoritmo script codice
        implem* implém* linux module modules driver drivers parser parsers function functions binärb* treiber kernelmodul
        módulo módulos analyseur
        код кода програ* скрипт алгори* функцию реализ* драйвер драйве* парсер модуль модуля функция
        كود برنامج برنامجا برنامجًا خوارزمية برمجة نفذ نفّذ دالة
        कोड प्रोग्राम एल्गोरिदम फ़ंक्शन फंक्शन मॉड्यूल ड्राइवर इम्प्लीमेंट""",
    Sign.TECHNICAL: """
        database databases distri* concur* deadlo* encryp* crypto* protocol protocols latency throug* schema kernel thread threads
        neural transf* gradie* bayesian regres* quantum relati* thermo* entropy molecu* enzyme enzymes protein proteins genome
        genetic mitoch* synapse neuron* isotope electr* magnet* oxidat* equili* cataly* macroe* microe* elasti* monetary inflat*
        episte* ontolo* metaph* phenom* utilit* deonto* kantian semico* micros* cache caching mutex consensus replic* shardi*
        datenbank versch* quante* chiffr* bases cuánti* quânti* cifrado cripto* база базы шифров* кванто* протокол
        تشفير قاعدة الكم कोशिका डेटाबेस क्वांटम""",
    Sign.EXPERT: """
        diagno* sympto* patient patients dosage dose mg clinical treatm* disease diseases therapy prescr* cancer tumor tumour
        surgery surgical syndro* chroni* contraindicated contraindications medica* antibi* pathol* infect* pregna* vaccine vaccinated vaccination overdose
        drug drugs warfar* amioda* heparin insuli* metfor* ibupro* parace* acetam* aspiri* amoxic* morphi* opioid opioids statin
        statins antico* antide* lithium digoxin
        lawsuit statute plaint* defend* liabil* court contract contracts tort jurisd* consti* legal legally lawyer attorney litiga*
        felony negligence copyri* patent patents gdpr compliance tax taxes taxati* deduct* fiduci* deriva* amorti* audit auditor
        diagnose krankh* symptome dosier* dosis behand* wirkst* arznei* gericht vertrag haftung gesetz steuer steuern medika* rechtl* klage
        maladie symptô* traite* médica* posologie contrat tribunal juridi* loi impôt impôts avocat
        enferm* síntom* sintom* tratam* dosis dosagem contrato contratos demanda tribunal jurídi* jurídico ley impuesto impostos imposto advogado abogado
        fármaco fármacos remédio remédios doença doenças malattia sintomi farmaco farmaci dosagg* contratto legge tasse
        диагно* болезн* симпто* лечени* дозиро* доза дозу дозы препар* лекарс* варфар* амиода* инсули* ибупро* аспири* догово* суд закон законы законом закона юридич* налог налоги налогов врач
        تشخيص مرض أعراض علاج جرعة الجرعة دواء الدواء وارفارين الوارفارين أميودارون الأميودارون أنسولين عقد قانون محكمة ضريبة
        रोग लक्षण इलाज उपचार दवा दवाई खुराक वारफेरिन वारफरिन एमियोडेरोन इंसुलिन कानून अदालत अनुबंध टैक्स""",
    Sign.CONSTRAINT: """
        json yaml xml csv markdown exactly must only strictly bullet bullets table without unless except format between
        genau höchst* mindes* nur tabelle ohne exacte* seulement maximum minimum tableau sans exacta* solamente solo máximo
        mínimo tabla sin apenas somente tabela sem esatta* senza
        ровно только максимум минимум таблиц* без فقط بالضبط جدول بدون केवल सिर्फ बिना ठीक तालिका""",
    Sign.NEGATION: """
        not no never none neither nor cannot nicht kein keine keinen nie niemals
        pas jamais aucun aucune nunca ningún ninguna não nem nenhum non mai nessuno не нет никогда ни لا ليس لم لن नहीं न मत""",
    Sign.LENGTHY: """
        essay article report detailed compre* thorough story novel chapter screen* thesis disser* whitep* proposal
        brainstorm poem lyrics curriculum roadmap
        aufsatz bericht ausfüh* geschi* detail* dissertation rédige rédigez rédaction essai rapport détail* histoire
        ensayo informe detall* artículo artigo redação relatório relató* saggio relazione romanzo
        эссе статью статья доклад отчет отчёт подроб* рассказ сочине* роман مقال مقالة تقرير قصة مفصل بالتفصيل निबंध लेख रिपोर्ट कहानी विस्तृत विस्तार""",
    Sign.NUMBER: """
        two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million
        third quarter zwei drei vier fünf sechs sieben acht neun zehn hälfte doppelt deux trois quatre cinq sept huit neuf dix moitié
        dos tres cuatro cinco seis siete ocho nueve diez mitad doble dois duas três quatro sete oito nove dez metade dobro
        два две три четыре пять шесть семь восемь девять десять полови* вдвое
        اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة عشرة نصف ضعف दो तीन चार पाँच पांच छह सात आठ नौ दस आधा आधे दोगुना""",
    Sign.WRITE: """
        write build develop schrei* écris écrire écrivez escrib* escrev* scrivi scrivere scriva напиши напишите написать
        اكتب लिखो लिखें लिखिए""",
    # Words that most sentences have. A text with few of them is in a language that this file does not know.
    Sign.COMMON: """
        the a an of to in on for and or it this that with my your me i you we he she they at from by be was were has have
        these those there their his her its our us them as if into about than but so not will would should may all any tell give
        please translate hello hi thanks hey thank okay yes good
        der die das ein eine einen den dem und ist sind im in zu mit von für auf ich mein meine mir du bitte es hallo danke
        dass wie als an aus bei nach oder auch wir sie er des
        le la les un une des du de et est sont dans pour avec sur mon ma mes je tu vous il elle ce cette bonjour merci ça
        au aux par en se son sa ses nous ou
        el los las una unos del y es son en por para con mi mis tu su yo está hola gracias al lo se
        o os as um uma e é são no na nos nas do da dos das em por para com meu minha seu sua olá obrigado obrigada ao
        il lo gli i uno di è sono nel nella per con mio mia ciao grazie che si del della
        и в на я с а по к у за от из о об для до это этот эта то но же вы ты мы он она они мой моя моё мои мне меня если или
        ли бы есть был была было у при все всё пожалуйста привет здравствуйте спасибо переведи
        في على إلى عن مع هذا هذه ذلك التي الذي أن إن أنا هو هي أو و كان كل بين بعد قبل عند لي يا مرحبا شكرا فضلك
        है हैं का की के को में से और यह वह ये मैं मेरा मेरी मेरे मुझे आप एक पर भी तो हो कि इस उस ने था थी थे लिए
        करें करो कीजिए कृपया नमस्ते धन्यवाद""",
    # Such words of languages that this file does not know, where those share COMMON ones with languages that it does.
    Sign.STRANGE: """
        het een dat niet wat hoe van voor zijn wordt waarom och att det är inte som på av ett og ikke til jeg hva hvad
        że się jest jak czy dla przez który która które oraz že jsou ale jak který která které proč při
        ja että ovat mitä miten miksi și să este pentru dacă sunt amb els és què hogy egy ve bir bu için ile nasıl
        kwa ya wa katika kwamba dan yang untuk dengan dari ini adalah là của và cho một kako što koji koja
        що та як це або чи від із між щоб є і че са какво защо је су шта како
        که است را این از به با برای در چگونه کنید کے کی میں سے ہے کا اور आहे आणि छ""",
})

_SPACED_PHRASES: Mapping[Sign, tuple[str, ...]] = MappingProxyType({
    Sign.QUANTITY: (
        "how many", "how much", "how long", "how far", "how old", "wie viel", "wie lange", "wie weit", "quanto tempo", "what percent",
        "what is the total", "how fast",
    ),
    Sign.REASON: (
        "step by step", "step-by-step", "root cause", "trade-off", "think through", "show your work", "schritt für schritt",
        "np-hard", "np-complete", "p = np", "p=np", "p vs np", "equal to np", "equal np",
        "étape par étape", "pas à pas", "paso a paso", "passo a passo", "passo dopo passo", "шаг за шагом", "пошагово",
        "خطوة بخطوة", "चरण दर चरण", "कदम दर कदम",
    ),
    Sign.CHOICE: (
        "of the following", "following statement", "best describes", "the correct option", "multiple choice", "true or false",
        "all of the above", "none of the above", "\nanswer:",
        "der folgenden", "richtige antwort", "parmi les", "des propositions suivantes", "suivants", "suivantes", "de las siguientes",
        "de los siguientes", "das seguintes", "dos seguintes", "alternativa correta", "opción correcta", "delle seguenti",
        "из следующих", "из перечисленных", "правильный ответ", "مما يلي", "الإجابة الصحيحة", "निम्नलिखित में", "इनमें से", "सही उत्तर",
    ),
    Sign.CONSTRAINT: (
        "at most", "at least", "no more than", "less than", "in the form", "höchstens", "no más de", "au plus", "pas plus de", "no máximo",
        "не более", "не менее", "على الأكثر", "على الأقل", "कम से कम", "अधिक से अधिक", "make sure",
    ),
    Sign.CODE: (
        "source code", "code source", "código fonte", "código fuente", "исходный код", "pull request", "unit test",
        "red-black", "red black tree", "binary tree", "search tree", "linked list", "hash table", "class that",
        "rot-schwarz", "verkettete liste", "funktion die", "funktion, die", "klasse, die", "arbre rouge", "liste chaînée",
        "fonction qui", "classe qui", "pilote pour", "árbol rojo", "árbol binario", "lista enlazada", "función que", "clase que",
        "árvore rubro", "árvore binária", "lista encadeada", "função que", "classe que", "albero rosso", "albero binario",
        "funzione che", "classe che", "красно-ч", "двоичное дерево", "связный список", "напиши класс", "модуль ядра",
        "شجرة حمراء", "الشجرة الحمراء", "लाल-काला", "रेड-ब्लैक",
    ),
})

_UNSPACED_PHRASES: Mapping[Sign, tuple[str, ...]] = MappingProxyType({
    Sign.QUESTION: ("什么", "谁", "哪", "吗", "怎么", "如何", "何時", "誰", "どこ", "いつ", "何", "ですか", "ますか", "누구", "무엇", "어디", "언제", "뭐", "까?"),
    Sign.QUANTITY: ("多少", "几个", "几天", "几小时", "几次", "多长时间", "多久", "いくつ", "いくら", "何人", "何個", "何日", "何時間", "몇", "얼마"),
    Sign.EXPLAIN: (
        "为什么", "为何", "解释", "比较", "区别", "差异", "优缺点", "描述", "讨论", "説明", "なぜ", "違い", "比較", "理由",
        "설명", "왜 ", "비교", "차이", "이유", "อธิบาย", "ทำไม", "เปรียบเทียบ",
    ),
    Sign.REASON: (
        "证明", "推导", "分析", "评估", "设计", "优化", "架构", "策略", "根因", "根本原因", "猜想", "权衡", "逐步", "一步一步", "一步步", "推理", "诊断",
        "論証", "評価", "設計", "最適化", "戦略", "導出", "段階的", "ステップ", "推論", "根拠", "証明",
        "증명", "분석", "평가", "설계", "최적화", "전략", "단계별", "추론", "근본 원인", "พิสูจน์", "วิเคราะห์", "ออกแบบ", "ทีละขั้น",
    ),
    Sign.STEPS: (
        "首先", "然后", "接着", "最后", "其次", "之后", "まず", "次に", "それから", "最後に", "먼저", "그다음", "그런 다음", "마지막으로",
    ),
    Sign.MATHS: (
        "计算", "方程", "积分", "概率", "导数", "定理", "矩阵", "求解", "百分之", "平均", "总共", "一共", "函数", "几何", "三角形", "倍", "一半",
        "計算", "方程式", "積分", "確率", "微分", "行列", "合計", "平均", "関数", "を求め", "半分",
        "계산", "방정식", "적분", "확률", "미분", "정리", "행렬", "평균", "합계", "모두", "퍼센트", "절반", "คำนวณ", "สมการ",
    ),
    Sign.CODE: (
        "实现", "编写", "红黑树", "二叉树", "链表", "驱动", "模块", "内核", "解析器", "排序", "的函数", "个函数", "一个类",
        "実装", "赤黒木", "二分木", "連結リスト", "ドライバ", "カーネル", "モジュール", "パーサ", "関数を書", "クラスを書",
        "구현", "레드블랙", "레드-블랙", "이진 트리", "드라이버", "커널", "모듈", "파서", "함수를", "클래스를",
        "代码", "编程", "程序", "调试", "算法", "函数式", "脚本", "正则", "接口", "コード", "プログラム", "デバッグ", "アルゴリズム", "スクリプト", "正規表現",
        "코드", "프로그램", "디버그", "디버깅", "알고리즘", "스크립트", "정규식", "โค้ด", "โปรแกรม",
    ),
    Sign.TECHNICAL: (
        "数据库", "分布式", "并发", "死锁", "加密", "协议", "神经网络", "量子", "蛋白质", "基因", "细胞", "电极", "微服务", "缓存", "系统",
        "データベース", "分散", "並行", "暗号", "プロトコル", "ニューラル", "遺伝子", "細胞", "マイクロサービス",
        "데이터베이스", "분산", "동시성", "암호", "프로토콜", "신경망", "양자", "유전자", "세포", "마이크로서비스",
    ),
    Sign.EXPERT: (
        "诊断", "症状", "患者", "治疗", "剂量", "疾病", "药", "手术", "法律", "合同", "诉讼", "责任", "法院", "税", "法规", "病",
        "华法林", "胺碘酮", "胰岛素", "布洛芬", "阿司匹林", "二甲双胍",
        "診断", "治療", "用量", "投与", "薬", "手術", "契約", "訴訟", "裁判", "税金", "法的", "条例",
        "ワルファリン", "アミオダロン", "インスリン", "イブプロフェン", "アスピリン",
        "진단", "증상", "환자", "치료", "복용", "용량", "투여", "질병", "수술", "법률", "계약", "소송", "법원", "세금", "약을",
        "와파린", "아미오다론", "인슐린", "이부프로펜", "아스피린", "โรค", "กฎหมาย", "สัญญา",
    ),
    Sign.CHOICE: (
        "下列", "以下哪", "以下说法", "以下选项", "哪一项", "哪项", "正确的是", "错误的是", "不正确", "答案：", "答案:", "单选", "多选", "（）", "( )", "（ ）",
        "次のうち", "以下のうち", "正しいもの", "誤っているもの", "選びなさい", "다음 중", "옳은 것", "틀린 것", "고르시오", "ข้อใด",
    ),
    Sign.CONSTRAINT: (
        "最多", "至少", "不超过", "必须", "只能", "格式", "表格", "以内", "不要", "以下で", "以上で", "以内で", "必ず", "のみ", "形式で", "表形式",
        "최대", "최소", "반드시", "형식", "이내", "만 사용", "표로",
    ),
    Sign.NEGATION: ("不", "没", "非", "无", "未", "ない", "ません", "않", "없", "아니", "ไม่"),
    Sign.LENGTHY: (
        "论文", "文章", "报告", "详细", "全面", "小说", "故事", "方案", "计划", "大纲", "エッセイ", "レポート", "詳しく", "詳細", "物語", "小説", "企画",
        "에세이", "보고서", "자세히", "상세", "이야기", "소설", "계획", "บทความ", "รายงาน", "ละเอียด",
    ),
    Sign.WRITE: ("写", "書い", "作っ", "작성", "เขียน"),
    Sign.NUMBER: ("两", "三", "四", "五", "六", "七", "八", "九", "十", "百", "千", "万", "半", "둘", "셋", "넷", "다섯", "여섯", "절반"),
})

STEM_LETTERS = 6


def _entries(*, stems: bool) -> dict[str, Sign]:
    table: dict[str, Sign] = {}
    for sign, listed in reversed(list(_WORDS.items())):  # where two signs share a word, the earlier one in the list has it
        for word in listed.split():
            if word.endswith("*") == stems:
                table[word.removesuffix("*")[:STEM_LETTERS] if stems else word] = sign
    return table


WORDS: Mapping[str, Sign] = _entries(stems=False)
STEMS: Mapping[str, Sign] = _entries(stems=True)

Phrases: TypeAlias = tuple[tuple[str, Sign], ...]


def _by_head(phrases: Mapping[Sign, tuple[str, ...]], head: Callable[[str], str]) -> dict[str, Phrases]:
    table: dict[str, Phrases] = {}
    for sign, listed in phrases.items():
        for phrase in listed:
            table[head(phrase)] = (*table.get(head(phrase), ()), (phrase, sign))
    return table


# Looked up by how they begin, so that a text pays for the few phrases that it could have, not for all of them.
SPACED_PHRASES: Mapping[str, Phrases] = _by_head(_SPACED_PHRASES, lambda phrase: WORD.findall(phrase)[0])
UNSPACED_PHRASES: Mapping[str, Phrases] = _by_head(_UNSPACED_PHRASES, lambda phrase: phrase[0])
