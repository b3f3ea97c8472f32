"""Words whose exchange changes an answer, in English and Chinese."""

from __future__ import annotations

import re


def _words(table: str) -> tuple[str, ...]:
    return tuple(table.split())


def _groups(table: str) -> tuple[frozenset[str], ...]:
    """`one other, one other` as pairs."""
    return tuple(frozenset(pair.split()) for pair in table.split(","))


def _classes(table: str) -> dict[str, str]:
    """`name: word word; name: word` as word -> name."""
    parts = (part.split(":") for part in table.split(";"))
    return {word: name.strip() for name, found in parts for word in found.split()}


def _values(table: str) -> dict[str, str]:
    """`word=value word=value` as word -> value."""
    pairs = (part.partition("=") for part in table.split())
    return {word: value for word, _, value in pairs}


NEGATIONS = frozenset(
    _words(
        """
    ain't aren't arent can't cannot cant couldn't couldnt didn't didnt doesn't doesnt don't dont hadn't hasn't
    haven't isn't isnt mustn't neither never no nobody none nor not nothing nowhere shouldn't unable wasn't
    weren't without won't wont wouldn't
    """
    )
)
NEGATIONS_ZH = "不没无未勿莫别甭"
NEUTRAL_ZH = _words(
    """
    是不是 能不能 可不可以 会不会 有没有 要不要 好不好 对不对 行不行 该不该 不同 不错 不过 不但 不仅 不管 不断 无线 无锡 特别 区别 级别 类别 性别 分别 别人 别的 个别 判别 识别 未来 无论
    无人机 不锈钢 差不多 不好意思
    """
)
"""Forms with a sign of negation that negate nothing."""

NEUTRAL_EN = ("whether or not", "or not", "not only", "no matter", "why not", "if not")

OPPOSITES = _groups(
    """
    buy sell, buying selling, increase decrease, increase reduce, increasing decreasing, raise lower,
    raise reduce, gain lose, win lose, before after, above below, over under, more less, more fewer, most least,
    maximum minimum, max min, highest lowest, largest smallest, biggest smallest, longest shortest,
    fastest slowest, cheapest costliest, oldest newest, oldest youngest, earliest latest, early late,
    larger smaller, maternity paternity, renew cancel, above under, over below, start kill, find kill,
    first last, best worst, better worse, good bad, advantage disadvantage, advantages disadvantages, pros cons,
    benefits risks, benefits drawbacks, upload download, import export, enable disable, activate deactivate,
    install uninstall, subscribe unsubscribe, lock unlock, block unblock, mute unmute, open close, start stop,
    start end, start finish, begin end, connect disconnect, add remove, add delete, create delete, insert remove,
    attach detach, encrypt decrypt, encode decode, compress decompress, zip unzip, push pull, send receive,
    lend borrow, give take, accept reject, accept decline, approve reject, approve deny, allow forbid,
    allow deny, allow block, allow prevent, grant revoke, include exclude, show hide, expand collapse,
    merge split, union intersection, public private, input output, internal external, inside outside,
    inner outer, incoming outgoing, inbound outbound, domestic international, domestic foreign, local remote,
    online offline, legal illegal, possible impossible, safe unsafe, safe dangerous, safe harmful, paid unpaid,
    paid free, manual automatic, manually automatically, temporary permanent, temporarily permanently,
    asynchronous synchronous, sync async, ascending descending, horizontal vertical, horizontally vertically,
    left right, top bottom, up down, north south, east west, hot cold, warm cold, heat cool, wet dry, day night,
    morning evening, winter summer, male female, man woman, men women, boy girl, boys girls, husband wife,
    father mother, son daughter, brother sister, adult child, adults children, employer employee,
    employers employees, buyer seller, landlord tenant, teacher student, sender recipient, parent child,
    gross net, debit credit, income expense, profit loss, assets liabilities, deposit withdraw,
    deposit withdrawal, deposits withdrawals, surplus deficit, bull bear, long short, true false,
    positive negative, even odd, odd even, vertical horizontal, hire fire, arrive depart, arrival departure,
    arrivals departures, entrance exit, enter exit, enter leave, check-in check-out, pickup dropoff, pass fail,
    success failure, strengths weaknesses, agree disagree, like dislike, like hate, love hate, wide narrow,
    thick thin, heavy light, hard soft, strong weak, deep shallow, high low, higher lower, faster slower,
    older younger, bigger smaller, longer shorter, cheaper dearer, full empty, full-time part-time,
    single married, alive dead, birth death, born die, born died, upgrade downgrade, upstream downstream,
    frontend backend, client server, read write, reading writing, save discard, undo redo, login logout,
    include omit, required optional, mandatory optional, same different, similar different, cause cure,
    cause prevent, causes prevents, causes treatments, symptoms treatments, symptoms causes, freeze melt,
    boil freeze
    """
)

OPPOSITES_ZH = _groups(
    """
    增加 减少, 提高 降低, 提升 降低, 上升 下降, 打开 关闭, 开启 关闭, 启用 禁用, 启用 停用, 开通 注销, 开通 取消, 订阅 退订, 买 卖, 买入 卖出, 购买 出售, 存款 取款, 存入 取出,
    充值 提现, 上传 下载, 导入 导出, 安装 卸载, 添加 删除, 新增 删除, 创建 删除, 允许 禁止, 同意 拒绝, 通过 拒绝, 显示 隐藏, 锁定 解锁, 绑定 解绑, 冻结 解冻, 加密 解密,
    压缩 解压, 合并 拆分, 连接 断开, 登录 退出, 登录 注册, 开始 结束, 入职 离职, 入住 退房, 借 还, 借入 借出, 出租 承租, 房东 租客, 卖家 买家, 雇主 雇员, 收入 支出, 利润 亏损,
    盈利 亏损, 借记 贷记, 优点 缺点, 好处 坏处, 利 弊, 最大 最小, 最高 最低, 最多 最少, 最长 最短, 最快 最慢, 最早 最晚, 最新 最旧, 最好 最差, 之前 之后, 以前 以后, 以上 以下,
    上面 下面, 前 后, 左 右, 内 外, 国内 国外, 国内 国际, 线上 线下, 在线 离线, 男 女, 男性 女性, 公开 私密, 公共 私有, 免费 付费, 收费 免费, 手动 自动, 临时 永久,
    同步 异步, 升序 降序, 横向 纵向, 水平 垂直, 合法 违法, 安全 危险, 必须 可选, 成功 失败, 到达 出发, 进口 出口, 发送 接收, 收货 发货, 早上 晚上, 白天 夜里, 夏天 冬天, 冷 热,
    升级 降级, 输入 输出, 读 写, 奇数 偶数, 正数 负数, 症状 治疗, 原因 后果, 高 低, 大于 小于, 大 小, 多 少, 长 短, 快 慢, 上涨 下跌, 新增 流失, 出生 去世, 开门 关门,
    必填 可选, 产假 陪产假, 饭前 饭后
    """
)

TIMES = _classes(
    """
    today: today tonight; tomorrow: tomorrow; yesterday: yesterday; now: now; mon: monday mondays;
    tue: tuesday tuesdays; wed: wednesday wednesdays; thu: thursday thursdays; fri: friday fridays;
    sat: saturday saturdays; sun: sunday sundays; weekend: weekend weekends; weekday: weekday weekdays;
    jan: january; feb: february; apr: april; jun: june; jul: july; aug: august; sep: september; oct: october;
    nov: november; dec: december; spring: spring; summer: summer; autumn: autumn; winter: winter; daily: daily;
    weekly: weekly; monthly: monthly; quarterly: quarterly; yearly: yearly annual annually; christmas: christmas;
    easter: easter
    """
)
TIMES_ZH = _words(
    """
    今天 明天 昨天 后天 前天 今年 明年 去年 后年 前年 本月 上月 下月 本周 上周 下周 这周 周一 周二 周三 周四 周五 周六 周日 周末 工作日 节假日 春节 国庆 中秋 端午 元旦 清明 上午 中午
    下午 早上 晚上 凌晨 每周 每月 每季度 每年 春天 夏天 秋天 冬天 上半年 下半年 上学期 下学期 寒假 暑假
    """
)

UNITS = _classes(
    """
    kilogram: kg kgs kilogram kilograms kilo kilos; gram: g gram grams; pound: lb lbs pound pounds;
    ounce: oz ounce ounces; ton: ton tons tonne tonnes;
    kilometre: km kms kilometre kilometres kilometer kilometers; metre: metre metres meter meters;
    centimetre: cm centimetre centimetres centimeter centimeters;
    millimetre: mm millimetre millimetres millimeter millimeters; mile: mile miles mi; yard: yard yards yd;
    foot: foot feet ft; inch: inch inches; litre: litre litres liter liters;
    millilitre: ml millilitre milliliter milliliters millilitres; gallon: gallon gallons; cup: cup cups;
    pint: pint pints; tablespoon: tablespoon tablespoons tbsp; teaspoon: teaspoon teaspoons tsp;
    celsius: celsius centigrade; fahrenheit: fahrenheit; kelvin: kelvin; second: seconds sec secs;
    minute: minute minutes min mins; hour: hour hours hr hrs; day: day days; week: week weeks;
    month: month months; year: year years; decade: decade decades; century: century centuries;
    dollar: dollar dollars usd; euro: euro euros eur; yen: yen jpy; yuan: yuan rmb cny; rupee: rupee rupees inr;
    sterling: gbp sterling; franc: franc francs chf; bit: bit bits; byte: byte bytes;
    kilobyte: kb kilobyte kilobytes; megabyte: mb megabyte megabytes; gigabyte: gb gigabyte gigabytes;
    terabyte: tb terabyte terabytes; mbps: mbps megabits; watt: watt watts; kilowatt: kw kilowatt kilowatts;
    volt: volt volts; ampere: amp amps ampere amperes; joule: joule joules; calorie: calorie calories;
    kilojoule: kj kilojoule kilojoules; hectare: hectare hectares; acre: acre acres; percent: percent percentage;
    hertz: hz hertz; pixel: pixel pixels px; degree: degrees; radian: radian radians; knot: knots
    """
)
UNITS_ZH = _words(
    """
    公斤 千克 毫克 公里 千米 厘米 毫米 英里 英尺 英寸 小时 分钟 秒 个月 美元 欧元 日元 英镑 港币 港元 人民币 元 卢比 韩元 摄氏 华氏 毫升 加仑 平方米 公顷 亩 英亩 兆 千瓦 瓦 伏 安培
    卡路里 大卡 千焦 字节 比特
    """
)

QUANTIFIERS = _classes(
    """
    all: all every each; only: only solely exclusively; half: half; except: except besides excluding;
    average: average; total: total; always: always; prevent: prevent prevents avoid avoids; undo: undo
    """
)
QUANTIFIERS_ZH = _words(
    """
    所有 全部 每个 每人 每次 只 仅 单个 多个 部分 除了 至少 至多 平均 总共 一半 首次 批量 其他 另外 唯一 防止 避免 撤销 禁止
    """
)

PERIODS = frozenset(
    _words(
        """
    april august autumn day days december fall february friday january july june march may monday month months
    night november october quarter saturday season semester september spring summer sunday term thursday tuesday
    wednesday week weekend weeks winter year years
    """
    )
)
"""After "last", "next" and "this" they name a time."""

ROLES = {
    "to": "target", "into": "target", "towards": "target", "from": "source", "than": "than", "before": "before", "after": "after",
    "with": "with", "for": "for", "of": "of", "on": "on", "by": "by", "against": "against", "over": "over", "sue": "target", "beat": "target",
}  # fmt: skip
"""What stands after one of them plays a part that the other side of it does not."""

ROLES_ZH = {
    "从": "source", "把": "source", "将": "source", "用": "source", "由": "source", "到": "target", "成": "target", "为": "target", "给": "target",
    "比": "than", "代替": "target", "替代": "target", "起诉": "target",
}  # fmt: skip

WEAK_ROLES = frozenset({"with", "for", "of", "on", "by", "against", "over"})
"""Paraphrases change these too often to be believed, unless all other words are the same."""

MODALS = (
    (
        "must",
        re.compile(
            r"\b(?:must|have to|has to|need|needs|required|mandatory|necessary)\b|必须|需要|要不要|一定要|要.*吗"
        ),
    ),
    ("can", re.compile(r"\b(?:can|could|may|allowed|possible|able|okay|ok)\b|可以|能不能|能|可不可以")),
    ("should", re.compile(r"\b(?:should|good idea|advisable)\b|应该|该不该")),
)
"""What a question asks that is answered with yes or no; the first that fits."""

COMPARED = (
    (
        ">",
        re.compile(
            r"\b(?:more than|over|above|exceeds?|exceeding|greater than|larger than|bigger than|longer than|at least) (?=\W?\d|#)"
        ),
    ),
    ("<", re.compile(r"\b(?:less than|under|below|fewer than|smaller than|shorter than|at most|up to) (?=\W?\d|#)")),
    ("<", re.compile(r"不超过|少于|小于|低于|不到|\d\D{0,3}(?:以下|以内)")),
    (">", re.compile(r"(?<!不)超过|大于|多于|高于|\d\D{0,3}以上")),
)
"""Ways to bound a number; `#` stands for a number word."""

NUMBER_WORDS = _values(
    """
    zero=0 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12 thirteen=13
    fourteen=14 fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19 twenty=20 thirty=30 forty=40 fifty=50
    sixty=60 ninety=90 hundred=100 thousand=1000 million=1000000 dozen=12 twice=2
    """
)
NUMBERS_ZH = _values(
    """
    两=2 二=2 三=3 四=4 五=5 六=6 七=7 八=8 九=9 十=10 百=100 千=1000 万=10000 亿=100000000
    """
)
NOT_NUMBERS_ZH = _words(
    """
    万一 十分 百度 三星 千万别 二维码 四川 一下 第二天 百科 三明治 二手 周二 周三 周四 周五 周六 星期二 星期三 星期四 星期五 星期六
    """
)
"""Forms with a numeral that count nothing."""
