"""Words that say what a request wants, by what they have in common, so that a poem seen in training helps with an ode.

A phrase has at most three tokens. A token is a word, or one character where a script puts no spaces between words.
Signs are letters: pairs of them are features too, and a short name makes a short file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    # w: writing something down
    "w": """
        write, compose, craft, pen, draft, author, produce, written, sing, paint, narrate, 写, 编写, 撰写, 拟, 创作,
        écris, écrivez, rédige, compose, schreib, schreibe, dichte, verfasse, escribe, escriba, redacta, compón, componga, escreva, escreve,
        componha, scrivi, componi, schrijf, viết, sáng tác, yaz, tulis, tuliskan, buatkan, напиши, сочини, придумай, нарисуй, اكتب, ألف, नज़्म,
        लिखो, लिखें, लिखिए, 書いて, 書く, 作って, 作成, 써줘, 써 줘, 작성, 지어, แต่ง, เขียน
    """,
    # i: inventing it
    "i": """
        invent, imagine, come up with, make up, think of, think up, dream up, coin, brainstorm, brainstorming, create, design, devise, concoct,
        whip up, cook up, conjure, ideate, riff, develop, 发明, 虚构, 编, 编一, 编个, 编几, 构思, 设计, 原创, 想一, 想个, 想几, 想十, 想五, 脑洞, 创意,
        创造, 杜撰, 幻想, 头脑风, 点子, 灵感, 出主意, 主意, 起个, 取个, 叫什么, 叫啥, 发挥, 想象,
        invente, inventez, imagine, imaginez, trouve, erfinde, denk dir, denke dir, ausdenken, inventa, imagina, crea, cria, crie, invente, imagine,
        immagina, verzin, bedenk, nghĩ ra, đặt tên, uydur, hayal et, ciptakan, karang, выдумай, изобрети, اخترع, تخيل, ابتكر, कल्पना, बनाओ, बनाइए,
        考えて, 想像して, 発明, 만들어, 지어줘, 상상해, คิด, สร้าง, ตั้งชื่อ
    """,
    # g: giving it
    "g": """
        give me, give us, tell me, tell us, suggest, propose, pitch, hit me, show me, i need, i want, need a, i'd like, provide, recommend, say something,
        got any, can i get, 给我, 来个, 来一, 来点, 来条, 来几, 来首, 来段, 讲个, 讲一, 说个, 说点, 说一, 推荐, 帮我,
        donne moi, propose, raconte, dis moi, erzähl, erzähle, gib mir, nenne, schlag, dame, cuéntame, cuenta, dime, sugiere, conta, conte, sugere,
        sugira, dê, raccontami, racconta, dammi, suggerisci, vertel, geef, kể, cho tôi, gợi ý, anlat, öner, ceritakan, расскажи, предложи, дай,
        احك, احكي, أعطني, اقترح, सुनाओ, बताओ, सुझाओ, 話して, ください, 教えて, 해줘, 추천, 들려줘, เล่า, แนะนำ, ขอ
    """,
    # o: one or several of something new
    "o": """
        a few, some, several, ideas, idea, options, suggestions, concepts, concept, angle, angles, variations, variants, examples of, prompts, inspiration,
        一首, 一段, 一句, 一个, 几个, 一篇, 几句, 几条, 一些, 十个, 五个, 三个, 一则, 一封, 一条, 一部, 一幅, 一出, 一版,
        idées, ideen, ideas, ideias, idee, ideeën, ý tưởng, fikir, ide, идеи, идею, أفكار, विचार, アイデア, 案, 아이디어, ไอเดีย
    """,
    # a: works of art and play
    "a": """
        poem, poems, poetry, verse, verses, haiku, limerick, sonnet, ballad, ode, rhyme, rhyming, acrostic, villanelle, story, stories, tale, tales, fable,
        parable, legend, myth, fairy, fairytale, novel, novella, fiction, fanfiction, flash fiction, chapter, lyrics, song, rap, jingle, lullaby, anthem,
        shanty, joke, jokes, pun, puns, riddle, riddles, limericks, haikus, monologue, dialogue, scene, screenplay, script, skit, sketch, play, drama, sitcom,
        parody, satire, roast, diss, meme, banter, comeback, comebacks, pickup, chat up, toast, speech, eulogy, obituary, diary, love letter, plot, twist,
        backstory, character, villain, hero, worldbuilding, fan fiction, essay, memoir, blurb, teaser, trailer, prophecy, spell, bedtime, yarn, anecdote,
        thriller, prayer, affirmation, mantra, quote, pep talk, wordplay, tongue twister, crossword, trivia, mad lib, bingo, fun fact, ascii, metaphors,
        诗, 首诗, 诗歌, 绝句, 律诗, 首词, 宋词, 打油诗, 藏头诗, 现代诗, 俳句, 故事, 童话, 寓言, 传说, 小说, 同人, 歌词, 歌, 民谣, 说唱, 儿歌, 摇篮曲,
        神曲, 笑话, 段子, 冷笑话, 谐音梗, 梗, 谜语, 灯谜, 脑筋急, 独白, 对话, 剧本, 短剧, 小品, 桥段, 台词, 吐槽, 情话, 土味, 祝酒词, 致辞, 演讲稿, 发言稿,
        悼词, 讣告, 悼文, 日记, 情书, 反转, 世界观, 人设, 反派, 剧情, 支线, 散文, 小作文, 作文, 微小说, 绘本, 对联, 顺口溜, 口诀, 鸡汤, 正能量, 冷知识, 鬼故事,
        恐怖故, 相声, 脱口秀, 山歌, 颂歌, 祈祷文, 告别文, 预告, 续写, 接龙, 续集, 结局, 咒语, 塔罗,
        poème, poésie, conte, histoire, blague, chanson, devinette, fable, gedicht, gedichte, geschichte, gutenachtgeschichte, witz, witze, lied, märchen,
        rätsel, spruch, reime, reim, poema, cuento, historia, chiste, canción, adivinanza, fábula, piada, conto, história, canção, poesia, storia, favola,
        barzelletta, canzone, racconto, mop, verhaal, sprookje, liedje, thơ, bài thơ, câu chuyện, truyện, chuyện cười, bài hát, şiir, hikaye, fıkra, şarkı,
        masal, puisi, cerita, dongeng, lelucon, lagu, pantun, стихотворение, стихи, стих, рассказ, сказку, сказка, анекдот, шутку, песню, историю, загадку,
        басню, قصيدة, قصة, نكتة, أغنية, حكاية, شعر, कविता, कहानी, चुटकुला, गीत, गाना, शायरी, पहेली, 詩, 物語, 小説, 冗談, 歌詞, 童話, 俳句, 川柳, 笑い話,
        怖い話, なぞなぞ, 面白い, 시를, 이야기, 동화, 농담, 노래, 소설, 가사, 수수께끼, 유머, กลอน, นิทาน, เรื่องตลก, เพลง, มุก, เรื่องสั้น
    """,
    # c: words that sell or greet
    "c": """
        slogan, slogans, tagline, taglines, ad, ads, advert, advertisement, copy, microcopy, headline, headlines, caption, captions, subject line, subject lines,
        product description, tweet, tweets, thread, post, instagram, linkedin, tiktok, facebook, hashtag, hashtags, hook, campaign, campaigns, stunt, commercial,
        radio spot, landing page, newsletter, push notification, cta, bio, profile, listing, testimonials, reviews, greeting, birthday, wedding, anniversary,
        farewell, goodbye, graduation, retirement, thank you note, love note, card message, greeting card, valentine, christmas card, congratulations, wishes, announcement,
        mission statement, motto, invitation, pitch, out of office, auto reply, button label, opening line, opening lines, opener, intro,
        文案, 广告, 广告语, 标语, 口号, 推文, 朋友圈, 小红书, 抖音, 微博, 公众号, 种草, 标题, 配文, 宣传语, 宣传, 软文, 话术, 祝福, 祝福语, 贺卡, 生日, 婚礼,
        拜年, 纪念日, 毕业, 退休, 感谢信, 愿景, 品牌故, 好评, 评价, 开场, 开场白, 热场, 自我介, 启事, 公告, 横幅, 贺词, 邀请函, 推荐语, 简介,
        slogan, slogans, accroche, légende, werbespruch, werbetext, geburtstagskarte, eslogan, lema, anuncio, legenda, anúncio, campagna, onderschrift,
        khẩu hiệu, slogan, tiêu đề, reklam, iklan, слоган, слоганов, лозунг, поздравление, объявление, شعار, नारा, キャッチコピー, キャッチフレーズ, 広告, 宣伝,
        標語, 挨拶, 광고, 문구, 슬로건, 카피, 축하, สโลแกน, คำขวัญ, โฆษณา, แคปชั่น
    """,
    # n: names to be found
    "n": """
        name, names, nickname, nicknames, username, title, titles, alias, aliases, codename, stage name, team name, brand name, called, call it, name for,
        names for, name ideas, what should i, 名字, 起名, 取名, 昵称, 外号, 艺名, 化名, 书名, 队名, 片名, 网红名, 命名, 起个, 取个, 怪名,
        nom, prénom, name, namen, nombre, nombres, nome, nomes, nomi, naam, tên, isim, nama, название, имя, имена, اسم, اسما, नाम, 名前, 이름, ชื่อ
    """,
    # v: once more, but not the same
    "v": """
        another, again, different, differently, other, more, alternative, alternatives, variation, fresh, new, newer one, one more, better, else, next one,
        redo, regenerate, retry, rewrite, reword, rephrase, rework, respin, spin, vary, try again, try another, try something, make it, do it over, instead,
        boring, continue, keep going, go on, more like, like that, finish this, what happens next, spice, twist, turn this, turn my, remix, reimagine, bolder,
        version, versions, takes, ways,
        再, 再来, 再写, 再想, 再改, 换, 换一, 换个, 换几, 另, 另想, 别的, 其他, 其它, 重写, 重新, 重来, 改写, 变体, 变着, 版本, 一版, 还有别, 不喜欢, 不满意,
        更好, 新的, 全新, 换种, 接着, 继续, 往下, 后来呢, 下一个, 续, 仿照, 加点料, 改成, 改编, 太普通, 没意思, 不行,
        autre, encore, nouvelle, nouveau, variante, andere, anderen, noch, neue, neuen, otra, otro, nueva, nuevo, outra, outro, nova, novo, altra, altro, nuova,
        nuovo, ander, nieuw, nieuwe, khác, başka, yeni, lain, baru, другой, другую, ещё, еще, новый, новую, آخر, أخرى, جديد, दूसरा, नया, 別の, もう一つ, 違う,
        新しい, 다른, 새로운, 하나 더, อีก, ใหม่
    """,
    # r: left to chance
    "r": """
        random, randomly, at random, pick, choose, draw, roll, flip, toss, shuffle, shuffled, coin, dice, d6, d20, surprise, surprising, guess, lucky, winner,
        password, passphrase, uuid, guid, seed, invoice number, username, pin code, secret, token for, 随机, 随便, 抽一, 掷, 抛, 骰子, 硬币, 打乱, 分组,
        抽签, 密码, 口令, 编号, 幸运, 惊喜, 挑一, 任选, 取件码, 验证码,
        hasard, aléatoire, surprends, zufällig, zufall, überrasch, azar, aleatorio, sorpréndeme, aleatório, surpreenda, sorprendimi, willekeurig, verras,
        ngẫu nhiên, rastgele, acak, случайное, случайный, удиви, عشوائي, رقم عشوائي, यादृच्छिक, ランダム, サイコロ, 무작위, 랜덤, สุ่ม
    """,
    # f: not real, or good enough to look real
    "f": """
        fake, dummy, mock, sample, made up, fictional, fictitious, imaginary, invented, pretend, placeholder, lorem, ipsum, filler, simulate, simulated, synthetic,
        persona, personas, hypothetical dialogue, 假的, 虚构, 模拟, 占位, 造一, 编造, 示例数, 测试用, 假数据, 画像, 假装, 虚拟人, fictif, erfundene, ficticio, fictício, inventato, вымышленный
    """,
    # p: playing a part
    "p": """
        act as, act like, pretend, role play, roleplay, play the, you are a, you are an, you're a, you re a, you re my, you are, in character, in the voice, voice of, in the style, style of,
        as if, as though, perspective of, persona, dungeon, dungeons, dungeon master, game master, dm, npc, goblin, goblins, dragon, elf, elven, orc, wizard, knight, troll, quest,
        tavern, crypt, potion, spell, party, pirate, narrate, adventure, text adventure, let's play, play a, i open, i cast, i attack, look around, scout,
        扮演, 假装, 你是, 你现在, 现在你, 你来当, 口吻, 角色, 模仿, 风格, 语气, 视角, 跑团, 地下城, 主持人, 地精, 巨魔, 法师, 巫师, 骑士, 兽人, 酒馆, 墓室, 药水,
        宝箱, 请以, 身份, 陪我玩, 冒险, 进门, 海盗, 仙侠, 队伍, 设定, 穿越, 女主, 男主,
        joue le rôle, fais comme si, tu es, spiel, du bist, tu so, actúa, finge, eres, aja como, finja, você é, fingi, sei un, doe alsof, je bent, đóng vai, rol yap,
        berpura, притворись, ты, сыграй, تظاهر, أنت, नाटक, なりきって, になって, 역할, สวมบทบาท
    """,
    # h: with charm
    "h": """
        funny, funnier, fun, witty, catchy, playful, creative, creatively, humorous, humor, humour, whimsical, quirky, quirkier, clever, punchy, cheesy, goofy, bold, original, unusual,
        unexpected, imaginative, inspiring, inspirational, heartfelt, poetic, dramatic, scary, spooky, silly, cute, cool, engaging, motivational, epic, dreamy, beautiful, cheerful,
        cheeky, sassy, edgy, darker, interesting, entertain, laugh, bored, crazy, absurd, sweet, romantic, emotional, elegant, flirty, nice, energy, tone, vibe, mysterious, magical,
        有趣, 好玩, 搞笑, 好笑, 幽默, 俏皮, 新颖, 新鲜, 创意, 霸气, 文艺, 诗意, 别致, 抓人, 抓眼, 吸引人, 走心, 真诚, 动情, 温柔, 可爱, 沙雕, 毒舌, 鼓舞, 励志,
        浪漫, 恶搞, 机智, 逗, 笑一, 无聊, 意想不, 出人意, 别开生, 激情, 押韵, 好听, 活泼, 高级感, 有格调, 会心, 荒唐, 奇幻, 梦幻, 夸, 安慰, 调侃, 戏谑,
        drôle, amusant, original, lustig, lustige, lustigen, witzig, kreativ, kreative, divertido, gracioso, creativo, creativos, original, engraçado, criativo, criativos,
        divertente, creativa, grappig, leuk, hài hước, vui, komik, eğlenceli, lucu, kreatif, смешной, смешную, весёлый, оригинальное, مضحك, طريف, मज़ेदार, 面白い, 楽しい,
        재미있는, 웃긴, 창의적인, ตลก, สนุก, สร้างสรรค์
    """,
    # t: now, or counted from now
    "t": """
        today, today's, todays, tonight, now, right now, currently, yesterday, yesterday's, tomorrow, tomorrow's, this morning, this afternoon, this evening, this week, this weekend, this month,
        this year, this quarter, this summer, this period, this billing, last night, last week, last hour, last month, last 24, past hour, past week, past 24, so far, yet, at the moment, at present, at this moment, presently,
        just now, these days, nowadays, lately, recently, as of now, still, since yesterday, since noon, since this, next week, next month, next friday, next thursday, on friday, for tomorrow, up to date,
        real time, past few, minutes ago, hours ago, already, anymore,
        今天, 今日, 今晚, 今早, 今夜, 今年, 现在, 目前, 当前, 此刻, 现任, 如今, 眼下, 当下, 昨天, 昨晚, 昨日, 明天, 明早, 明晚, 后天, 刚才, 刚刚, 最近, 近期, 这周, 本周, 这个月, 本月, 上周, 上个月,
        下周, 下个月, 周末, 这周末, 这个星, 这季度, 这个季, 这几天, 实时, 至今, 截至, 到目前, 为止, 早上, 下午, 过去一, 过去24, 此时, 中午到, 从昨天, 这会儿, 即时,
        aujourd'hui, aujourd hui, maintenant, actuellement, en ce moment, demain, hier, ce soir, cette semaine, heute, jetzt, gerade, aktuell, aktuelle, morgen, gestern, momentan, derzeit, noch offen,
        hoy, ahora, actualmente, mañana, ayer, anoche, esta noche, esta semana, en este momento, hoje, agora, atualmente, amanhã, ontem, neste momento, oggi, adesso, ora, attualmente, domani, ieri, stasera,
        vandaag, nu, momenteel, gisteren, vanavond, hôm nay, bây giờ, hiện tại, ngày mai, hôm qua, lúc này, bugün, şimdi, şu an, yarın, dün, hari ini, sekarang, saat ini, besok, kemarin,
        сегодня, сейчас, завтра, вчера, вчерашний, сегодняшний, текущий, на данный момент, اليوم, الآن, غدا, أمس, حاليا, आज, अभी, कल, इस समय, 今日, 現在, 明日, 昨日, 今夜, 今週, 今朝,
        오늘, 지금, 내일, 어제, 현재, 이번 주, 방금, วันนี้, ตอนนี้, ขณะนี้, พรุ่งนี้, เมื่อวาน
    """,
    # l: latest
    "l": """
        latest, newest, current, recent, most recent, newly, upcoming, next, update, updates, updated, changed, release, released, trending, breaking, top stories, new in, what's new, what s new, headlines,
        最新, 新版, 新闻, 新消息, 消息, 进展, 动态, 热搜, 更新, 新动态, 发布了, 突发, 下一班, 下一个, 下次, 下一, 变化, 变动, 热播, 最火, 出了吗, 行情, 走势,
        dernier, dernière, prochain, prochaine, actualités, neueste, neuesten, nächste, nächster, nachrichten, última, últimas, último, próximo, noticias, próxima, notícias, ultime, ultima, prossimo, notizie,
        laatste, nieuws, volgende, mới nhất, tiếp theo, tin tức, güncel, haberler, sonraki, terbaru, berita, berikutnya, последняя, последние, новости, следующий, أخبار, الأخبار, آخر, التالي, ताज़ा, समाचार, ख़बर,
        最新, ニュース, 次の, 최신, 뉴스, 다음, ล่าสุด, ข่าว
    """,
    # s: things that move by the hour
    "s": """
        weather, forecast, rain, raining, snow, snowing, temperature, umbrella, coat, storm, hot outside, hurricane, wildfires, pollen, uv, tide, tides, air quality, aqi, sunset, sunrise, moon, earthquake, price, prices, cost, cheapest, fare, stock,
        stocks, stock price, share price, market, markets, crypto, bitcoin, btc, ethereum, gold, oil, gas, diesel, exchange rate, exchange rates, rate, rates, usd, eur, jpy, gbp, euro, dollar, yen, nasdaq, dow, s&p, inflation, interest rate,
        mortgage, score, scores, standings, winning, leading, leader, leaderboard, match, game, won, win, beat, champion, election, vote, polls, traffic, delay, delays, delayed, on time, cancelled, flight, flights, train, bus, ferry, metro,
        departure, status, outage, outages, down, incident, incidents, deploy, build, pipeline, ci, server, servers, cpu, load, latency, error rate, online, logged in, queue, wait, waiting, wait time, wait times, seats, tickets, rooms, slots,
        vacancies, vacancy, available, availability, in stock, inventory, back in stock, open now, open today, open on, closed, crowded, free, playing, showing, on tv, schedule, calendar, agenda, movies, concerts, news, happened, happening, trending,
        shipped, delivered, arrive, arrived, eta, package, parcel, shipment, courier, driver, order, delivery, track, refund, claim, ticket, application, balance, account balance, transactions, unread, notifications, emails, replied, answered, progress,
        signups, revenue, sales, usage, quota, on call, due, overdue, shift, shifts, appointment, vaccine, cases, jackpot, lottery, version, lts, specials, coupons, promotions, sale, discounts,
        天气, 下雨, 下雪, 气温, 温度, 多少度, 带伞, 外套, 台风, 山火, 花粉, 紫外线, 潮汐, 空气质, 雾霾, 日落, 日出, 满月, 月亮, 地震, 价格, 股价, 多少钱, 什么价, 机票, 票价, 股票, 大盘, 涨幅, 涨, 跌, 收盘, 比特币, 黄金, 油价, 汇率, 利率, 美元, 欧元, 日元,
        英镑, 房贷, 通胀率, 比分, 比赛, 谁赢, 赢了, 领先, 排行榜, 第几名, 冠军, 大选, 投票, 路况, 堵, 堵车, 限行, 限号, 延误, 准点, 准时, 停航, 航班, 火车, 末班, 地铁, 状态, 故障, 宕机, 挂了, 事件, 部署, 构建, 流水线, 服务器, 负载, 错误率, 在线, 登录过, 排队, 要等, 名额,
        有票, 余票, 车位, 空位, 有房, 房吗, 空房, 有货, 现货, 库存, 开门, 营业, 关门, 开放, 人多吗, 有空, 上映, 演出, 日程, 安排, 电影, 发货, 到账, 到哪, 在哪, 快递, 包裹, 物流, 外卖, 送到, 司机, 师傅, 订单, 退款, 理赔, 工单, 申请, 余额, 流水, 交易, 未读, 邮件, 回复, 进度, 注册量,
        营收, 销售额, 额度, 用量, 值班, 截止, 到期, 逾期, 值日, 疫苗, 病例, 疫情, 奖池, 优惠, 促销, 特价, 预售, 开售, 床位, 空床, 粉丝, 版本, 成绩, 工资, 急诊,
        temps fait, météo, pleuvoir, température, prix, cours, commande, colis, train, vol, score, ouvert, ouverte, wetter, regnet, preis, kurs, bestellung, paket, zug, flug, geöffnet, spiel, dax, urlaubstage, tiempo hace, clima, llover, precio,
        pedido, paquete, vuelo, tren, partido, abierta, abierto, dólar, tempo, previsão, chover, preço, cotação, encomenda, voo, comboio, aberta, jogo, tempo fa, meteo, piove, prezzo, ordine, pacco, treno, volo, aperto, partita, weer, regen, prijs, koers,
        bestelling, pakket, trein, thời tiết, mưa, giá, đơn hàng, tỷ giá, trận, hava, yağmur, fiyat, kaç lira, sipariş, siparişim, kargo, maç, dolar, cuaca, hujan, harga, pesanan, paket, погода, дождь, курс, цена, заказ, посылка, поезд, рейс, матч, выиграл, счёт, времени,
        الطقس, سعر, طلبي, الدولار, رحلة, مباراة, मौसम, बारिश, भाव, कीमत, ऑर्डर, मैच, ट्रेन, 天気, 雨, 気温, 株価, いくら, 注文, 荷物, 電車, 試合, 残って, 残り, 何時, 営業中, 날씨, 비 와, 가격, 환율, 얼마, 주문, 택배, 기차, 버스, 경기, 몇 시, อากาศ, ฝน, ราคา, กี่โมง, ออเดอร์, พัสดุ
    """,
    # m: the caller's own, as the records have it at this moment
    "m": """
        my order, my package, my parcel, my ticket, my balance, my account, my refund, my flight, my application, my claim, my appointment, my calendar, my next, my prescription, my subscription, my trial, my salary, my shipment, my return, my bank,
        my grade, my gpa, my assignment, my driver, my payment, my passport, my remaining, my usage, my queue, my connection, my driver, do i have, have i, did i, i have left, do we have, did we, our servers, our inventory, our cash, has the, has my, has anyone, did my, did the, is my, are my, where is my, where's my, am i, assigned to me, ahead of me, waiting for me,
        我的订, 我的快, 我的包, 我的余, 我的工, 我的理, 我的申, 我的航, 我的会, 我的处, 我的作, 我还剩, 我还有, 我前面, 我今年, 我下次, 我下一, 我有, 我那, 我排, 我的银, 我的社, 我飞, 我们在, 我现在, 分配给我, 客户那, 账上, 病人, 患者, 查一下, 看看, 查快递, 房东回,
        ma commande, mon colis, ma livraison, meine bestellung, mein paket, habe ich, mi pedido, mi paquete, meu pedido, minha encomenda, mio ordine, mio pacco, mijn bestelling, mijn pakket, của tôi, siparişim, pesanan saya, мой заказ, моя посылка, طلبي, मेरा ऑर्डर, 私の注文, 제 주문, 내 주문, ของฉัน
    """,
    # d: how long until, how many left
    "d": """
        how many days, how long until, how long till, how much longer, how long before, days until, until, till, left, remain, remaining, remains, countdown, days left, weeks left, how soon, how old am, when is my, when does my, when will, when's the next, when is the next, what time is, what day is, what day of, what's today's,
        what year is, what's the date, how long ago, days since, overdue, eta, 还有几, 还有多, 还剩, 多久到, 要多久, 剩余, 剩, 几天到, 倒计时, 几点了, 几号, 星期几, 周几, 哪一年, 几月几, 来得及, 赶得上, 过了多, 过去多, 还要多, 什么时候到, 几点, 啥时候, 轮到谁,
        combien de jours, quelle heure, heure est, wie viele tage, wie spät, wann fährt, wann kommt, wie viele urlaubstage, cuántos días, qué hora, cuándo llega, quantos dias, que horas, quanti giorni, che ora, quando arriva, hoeveel dagen, hoe laat, bao nhiêu ngày, mấy giờ, kaç gün, saat kaç, berapa hari, jam berapa, сколько дней, сколько времени, который час, когда придёт, كم الساعة, कितने बजे, 何日, 何時, 며칠, 몇 시, กี่วัน, กี่โมง
    """,
    # e: has it happened
    "e": """
        has, have, did, is the, are the, is there, are there, any, is it, any update, is anyone, check if, check whether, list, show, show me, who's, who is, where's, where is, when's,
        了吗, 了没, 没有, 没, 了么, 好了吗, 怎么样了, 到了吗, 完了没, 吗, 有没有, 是不是, 还在, 到底, 多少了, 得怎么
    """,
    # q: asks for knowledge
    "q": """
        what is a, what is an, what is the, what are, what does, what do, what's the difference, difference between, what makes, what causes, explain, define, definition, meaning, mean, means, meant, how do, how does, how to, how can, how is, how are, how should, why, why is, why do, why does, who wrote,
        who invented, who painted, who composed, who was, when was, when did, where does, compare, comparison, describe the, history of, origin, example of, examples, formula, symptoms, rules, theory, function of, role of, purpose, in general, usually, typically, capital of, difference, how long did, how much did, how many are, analyze, analyse, theme, can i, does the, do i need, should, according to, is it safe, what happens, which of,
        什么是, 是什么, 什么叫, 怎么, 如何, 怎样, 为什么, 为何, 解释, 区别, 意思, 含义, 意义, 定义, 原理, 作用, 作者, 首都, 历史, 由来, 来历, 出自, 典故, 症状, 步骤, 方法, 公式, 规定, 政策, 流程, 原因, 介绍, 概述, 简述, 分析, 主旨, 寓意, 比较, 对比, 有哪些, 有什么, 一般, 通常, 多高, 多远, 谁写, 谁发明, 谁画, 是谁发, 哪些, 哪个, 格律, 结构, 特点, 举一个, 举例, 差别, 有何, 代表什, 表示, 用法, 怎么用,
        qu'est ce, quelle est, quel est, comment, pourquoi, explique, différence, signifie, qui a, was ist, wie funktioniert, wie setze, warum, erkläre, erklär, unterschied, bedeutet, wer hat, qué es, cuál es, cómo, por qué, explica, diferencia, significa, quién escribió, o que é, qual é a, como faço, como, por que, explique, diferença, quem, cos'è, cosa, perché, spiega, differenza, chi ha, wat is, hoe, waarom, leg uit, verschil, wie schilderde,
        là gì, làm thế nào, tại sao, giải thích, nedir, nasıl, neden, açıkla, kim, fark, apa itu, bagaimana cara, mengapa, jelaskan, siapa, что такое, как, почему, объясни, чем, кто, столица, ما هي, ما هو, كيف, لماذا, اشرح, من, الفرق, क्या है, कैसे, क्यों, समझाओ, किसने, とは, 方法, なぜ, 説明, 違い, 意味, どこですか, 誰, 무엇, 어떻게, 왜, 설명, 차이, 의미, 누구, คือ, อย่างไร, ทำไม, อธิบาย, ใคร
    """,
    # k: works on what is given
    "k": """
        translate, translation, summarize, summarise, summary, extract, classify, categorize, label, convert, fix, correct, proofread, grammar, punctuation, spelling, spell, calculate, compute, solve, simplify, prove, count, detect, parse, identify, sort, format, rename, refactor, shorten, passive, formal, past tense, plural, synonyms, answer, answer only, context, passage, document, documents, based on, according, given, using the, review this, is this, is the following, does this, which category, intent, sentiment, transcript, choose the correct, pick the best, question, convert this, turn this csv, turn the following, literally,
        翻译, 译成, 总结, 概括, 摘要, 提取, 分类, 判断, 标签, 转成, 转换, 改正, 改错, 校对, 语法, 错别字, 标点, 计算, 解方程, 化简, 证明, 数一下, 识别, 解析, 排序, 改成被, 缩成, 书面语, 根据, 材料, 资料, 段落, 短文, 文档, 选出, 单选, 多选, 选择题, 问题, 回答, 属于, 意图, 情感, 整理成, 列出, 逐字, 逐句, 改名, 检查, 近义词, 反义词,
        traduis, résume, corrige, übersetze, fasse, korrigiere, traduce, resume, corrige, traduz, traduza, resuma, corrija, traduci, riassumi, correggi, vertaal, vat, dịch, tóm tắt, çevir, özetle, terjemahkan, ringkas, переведи, кратко, исправь, ترجم, لخص, अनुवाद, 翻訳, 要約, 訂正, 번역, 요약, 교정, แปล, สรุป
    """,
    # x: code and data
    "x": """
        sql, query, python, javascript, typescript, java, rust, golang, bash, linux, function, method, class, regex, regexp, json, yaml, csv, xml, html, css, react, component, docker, dockerfile, terraform, module, api, openapi, endpoint, rest, script, code, algorithm, unit test, unit tests, tests, bug, bugs, error, exception, typeerror, git, commit, commits, npm, pip, nvm, install, schema, migration, docstring, table, column, columns, database, index, cron, webhook, variable, loop, array, list in, string, select, join, vlookup, excel, sheets, spreadsheet, formula, async, await, binary search, datetime, callback, command, directory, status code, markdown, dependency,
        函数, 代码, 脚本, 查询, 正则, 正则表, 变量, 组件, 接口文档, 数据库, 报错, 单元测, 算法, 类型, 字段, 表格, 数组, 循环, 提交, 安装, 命令, 目录, 编译, 框架, 迁移, 注释, 模块, 状态码, 二分查, 列表, 序列, 排序, 时间复, 实现
    """,
    # b: paper work, whose contents are given
    "b": """
        email, letter, resignation, report, minutes, meeting minutes, notes, checklist, agreement, contract, non disclosure, nda, clause, policy, template, invoice, memo, reply to, reply confirming, bug report, steps, procedure, spec, specification, requirements, proposal, outline, plan, cover letter, landlord, formal letter, acceptance criteria, onboarding, documentation, handbook,
        邮件, 辞职信, 报告, 纪要, 会议纪, 清单, 协议, 保密协, 合同, 条款, 通知, 模板, 大纲, 方案, 文档, 缺陷报, 回复, 手册, 说明书, 要点, 计划, 请假条, 证明信
    """,
    # z: talk
    "z": "hello, hi, hey, thanks, thank you, ok, okay, yes, no, yes please, bye, 你好, 您好, 谢谢, 好的, 嗯, 嗯嗯, 非常感, 再见, bonjour, merci, hallo, danke, hola, gracias, olá, obrigado, ciao, grazie",
    # y: long ago, or a date that stands
    "y": "ancient, medieval, century, centuries, war, wwi, wwii, empire, dynasty, revolution, founded, built, invented, historical, originally, used to, 世纪, 古代, 朝代, 唐朝, 战争, 年代, 革命, 帝国, 哪一年, 哪年, 公元, 创刊, 建于, 去世, 大战, 王朝",
}  # fmt: skip

_YEARS = range(1000, 2025)  # a year that is over


def _phrases(listed: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in listed.replace("\n", " ").split(",") if phrase.strip()]


PHRASES: Final[Mapping[str, tuple[str, ...]]] = {sign: tuple(_phrases(listed)) for sign, listed in _WORDS.items()}
"""Phrases by sign, as they are written."""

PAST_YEARS: Final[tuple[str, ...]] = tuple(map(str, _YEARS))
PAST: Final = "y"
"""The sign that a year stands for."""
